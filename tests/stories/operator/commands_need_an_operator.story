// Members are denied in every form; unregistered peers must register first.
alice arrives
bob connects
alice > /announce hi
alice < !denied only operators may do that
alice > /kick
alice < !denied only operators may do that
alice > /kick alice
alice < !denied only operators may do that
alice > /stats
alice < !denied only operators may do that
alice > /shutdown
alice < !denied only operators may do that
bob > /announce hi
bob < !register-first say #name to take a name
bob > /kick alice
bob < !register-first say #name to take a name
bob > /stats
bob < !register-first say #name to take a name
bob > /shutdown
bob < !register-first say #name to take a name
bob > /who
bob < !register-first say #name to take a name
bob > /rooms
bob < !register-first say #name to take a name
// In the other dialects these commands are text.
rel connects by relay
rel >> rel: /announce hi
rel < rel: /announce hi
alice < * rel joined
alice < rel: /announce hi
rel >> /shutdown
rel, alice < rel: /shutdown
