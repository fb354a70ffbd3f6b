with --max-line 128
alice arrives
bob arrives
alice < * bob joined
// 127 bytes and LF; 126, CR and LF.
alice > @bob:\{122*x}
bob < @alice:\{122*x}
alice > @bob:\{121*x}\r
bob < @alice:\{121*x}
alice > @bob:\{123*x}
alice < !line-too-long 128
alice > @bob:\{122*x}\r
alice < !line-too-long 128
alice > fine
bob < alice: fine
