alice arrives
alice >> /ping a\n/ping b\r\n\n\r\n/ping c\n
alice < +pong a
alice < +pong b
alice < +pong c
// Any other CR is a control character like others.
alice >> /ping d\r\r\n/ping e\rf\n
alice < +pong d\u{FFFD}
alice < +pong e\u{FFFD}f
alice >> /pi
alice >> ng g
alice >> h\r
alice >> \n
alice < +pong gh
