needs unicode
a connects
// One Cyrillic letter among Latin ones, and the other way round.
a > #pаypal
a < !nick-invalid pаypal …
a > #аdmin
a < !nick-invalid аdmin …
a > #Ольгa
a < !nick-invalid Ольгa …
a > #αlpha
a < !nick-invalid αlpha …
a > #世界x
a < !nick-invalid 世界x …
a > #ひらが한
a < !nick-invalid ひらが한 …
a > #a१
a < !nick-invalid a१ …
// Han, Hiragana and Katakana; Hangul and Han; Han and Bopomofo; digits and marks with everything.
a > #日本のカタカナー
a < +nick 日本のカタカナー
a < +room lobby 1
a > /nick 한국人
a < +nick 한국人
a > /nick 中ㄅㄆ
a < +nick 中ㄅㄆ
a > /nick наталья-0001
a < +nick наталья-0001
a > /nick e\u{301}
a < +nick e\u{301}
// Room names have the same rule, but a confusable name is another room.
a > &dеv
a < !room-invalid dеv …
a > &раура
a < +room раура 1
a > &paypa
a < +room paypa 1
