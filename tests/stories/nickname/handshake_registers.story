// dialects.md, "nickname", sentence by sentence.
// Asked by these eight bytes alone.
alice knocks by nickname
alice <= NICKNAME
alice >> alice
alice < alice joined!
alice < Connected to server!

// A join event goes to all members, the new one included.
bob arrives by nickname
alice < bob joined!

// Its own name in front is taken off, folded and with any blanks around the `:`.
alice >> alice: hello
alice, bob < alice: hello
alice >> ALICE  :\t hello again
alice, bob < alice: hello again
// Only the first `:` counts.
alice >> alice: see: this
alice, bob < alice: see: this

// The name of another user is kept as text.
alice >> bob: I am bob
alice, bob < alice: bob: I am bob
alice >> no name at all
alice, bob < alice: no name at all
alice >> nobody: x
alice, bob < alice: nobody: x
alice >> alice:
alice < !empty-text there is nothing to say

bob ends
bob closed
alice < bob left!
