with --max-rooms 0 --max-rooms-per-connection 0
alice arrives
alice >> &a\n&b\n&c\n/leave\n/rooms\n
alice < +room a 1
alice < +room b 1
alice < +room c 1
alice < +left c
alice < +rooms lobby:1 a:1 b:1
alice < +end rooms 3
