with --register-timeout 0
bob connects
time passes 100000s
bob > #bob
bob < +nick bob
bob < +room lobby 1
