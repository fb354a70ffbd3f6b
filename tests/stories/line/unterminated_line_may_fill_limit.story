with --max-line 128
bob arrives
alice arrives
bob < * alice joined
alice >> @bob:\{123*x}
alice ends
alice closed
bob < @alice:\{123*x}
bob < * alice left
