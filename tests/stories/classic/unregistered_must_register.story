anna connects by classic
anna >> hello
anna < !usage @nick:text
anna >> @anna:hello
anna < !register-first say #name to take a name
anna >> #\s anna \s
anna < Your user detail saved as : anna
