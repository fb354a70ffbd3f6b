// dialects.md, "classic", sentence by sentence.
alice, Bob connects by classic
alice >> #Alice
alice < Your user detail saved as : Alice
Bob >> #Bob
Bob < Your user detail saved as : Bob

// Names compare case-insensitively.
alice >> @bOB:Hello
Bob < Hello
eve connects by classic
eve >> #ALICE
eve < !nick-taken ALICE is taken

// The text alone, without its sender; only the first `:` separates, and nothing is trimmed off the text.
Bob >> @alice: see http://a:80/ :)
alice <  see http://a:80/ :)

// A second #name renames, and frees the first name.
alice >> #Alicia
alice < Your user detail saved as : Alicia
Bob >> @alice:where are you?
Bob < !no-such-user alice
Bob >> @alicia:here you are
alice < here you are
eve >> #alice
eve < Your user detail saved as : alice

// Any other text.
alice >> hello
alice < !usage @nick:text
alice >> @bob
alice < !usage @nick:text
alice >> /help
alice < !usage @nick:text
alice >> @bob:
alice < !empty-text there is nothing to say
alice >> #not a name
alice < !nick-invalid not a name is not a name: 1 to 32 letters of one script, digits, - _ .
alice >> #admin
alice < !nick-reserved admin is reserved

// Several recipients, as in every dialect.
eve >> @bob, alicia:both
Bob, alice < both
