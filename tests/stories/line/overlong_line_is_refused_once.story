with --max-line 128
bob arrives
alice connects
// Before registering, and before the line ends; the remainder of the line is discarded.
alice >> #\{128*x}
alice < !line-too-long 128
alice >> \{1000*/quit }
alice >> \x00\n/ping 1\n
alice < +pong 1
alice > #alice
alice < +nick alice
alice < +room lobby 2
bob < * alice joined
alice > \{5000*long }
alice < !line-too-long 128
alice > &dev\x00\{200*y}
alice < !line-too-long 128
alice >> \{129*z}\n\{129*z}\n/ping 2\n
alice < !line-too-long 128
alice < !line-too-long 128
alice < +pong 2
// An overlong line at the end of the stream is no line.
alice >> \{200*z}
alice < !line-too-long 128
alice ends
alice closed
bob < * alice left
