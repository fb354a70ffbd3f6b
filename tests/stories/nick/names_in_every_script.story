needs unicode
alice connects
alice > #Алиса
alice < +nick Алиса
alice < +room lobby 1
bob connects
bob > #алиса
bob < !nick-taken алиса …
bob > #Jörg
bob < +nick Jörg
bob < +room lobby 2
alice < * Jörg joined
alice > @JÖRG:привет
bob < @Алиса:привет
// As one character or as two, it is the same name.
alice > @jo\u{308}rg:two
bob < @Алиса:two
carol connects
carol > #Carol
carol < +nick Carol
carol < +room lobby 3
alice, bob < * Carol joined
// In full width.
bob > @ｃａｒｏｌ:wide
carol < @Jörg:wide
bob > /nick ＣＡＲＯＬ
bob < !nick-taken ＣＡＲＯＬ …
bob > &世界
bob < +room 世界 1
alice > &世界
alice < +room 世界 2
bob < * Алиса joined &世界
alice > hi
bob < &世界:Алиса:hi
carol > &Büro
carol < +room Büro 1
carol > /nick Karl
carol < +nick Karl
alice, bob < * Carol is now Karl
bob > &ＢÜＲＯ
bob < +room Büro 2
carol < * Jörg joined &Büro
// No symbols, no emoji, no invisible characters.
carol > /nick 🐦
carol < !nick-invalid 🐦 …
carol > /nick a\u{200B}b
carol < !nick-invalid …
carol > &a b
carol < !room-invalid a b …
