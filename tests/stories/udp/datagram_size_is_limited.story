ming arrives by udp
alice arrives
ming <= Welcome alice to the chat room
// 1024 bytes are one message; their LF counts.
ming >> C ming \{1017*x}
alice < ming: \{1017*x}
ming >> C ming \{1016*x}\n
alice < ming: \{1016*x}
ming >> C ming \{1018*x}
ming <= !line-too-long 1024
ming >> C ming \{1017*x}\n
ming <= !line-too-long 1024
ming >> \{9000*x}
ming <= !line-too-long 1024
eve connects by udp
eve >> \{1025*x}
eve <= !line-too-long 1024
ming >> C ming a\x00b
ming <= !bad-byte the line holds a NUL byte
