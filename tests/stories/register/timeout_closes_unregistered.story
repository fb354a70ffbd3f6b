with --register-timeout 60s
alice arrives
bob connects
carol connects
time passes 59s
// Input doesn't extend it, refused names neither.
bob > /ping 1
bob < +pong 1
bob > #root
bob < !nick-reserved root …
carol > #carol
carol < +nick carol
carol < +room lobby 2
alice < * carol joined
time passes 1s
bob < !register-timeout …
bob closed
time passes 1000s
alice > @carol:we stay
carol < @alice:we stay
