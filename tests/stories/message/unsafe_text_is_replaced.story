alice arrives
bob arrives
alice < * bob joined
// Controls of C0 but TAB, DEL, and of C1.
alice > a\x01b\x07c\x1b[2Jd\x7fe\tf
bob < alice: a\u{FFFD}b\u{FFFD}c\u{FFFD}[2Jd\u{FFFD}e\tf
alice > @bob:\u{80}\u{85}\u{9f}\u{a0}
bob < @alice:\u{FFFD}\u{FFFD}\u{FFFD}\u{a0}
// What isn't UTF-8, byte by byte.
alice > \xff\xfe \xc3( \xed\xa0\x80 \xf0\x9f\x90
bob < alice: \u{FFFD}\u{FFFD} \u{FFFD}( \u{FFFD}\u{FFFD}\u{FFFD} \u{FFFD}\u{FFFD}\u{FFFD}
// Separators of lines and controls of direction; joiners and the rest of Unicode stay.
alice > \u{2028}\u{2029}\u{61C}\u{200E}\u{200F}\u{202A}\u{202B}\u{202C}\u{202D}\u{202E}\u{2066}\u{2067}\u{2068}\u{2069}
bob < alice: \{14*�}
alice > zwj\u{200D} Grüße 世界 🐦
bob < alice: zwj\u{200D} Grüße 世界 🐦
