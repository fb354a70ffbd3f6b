alice connects
alice > /ping \{4089*x}
alice < +pong \{4089*x}
alice > /ping \{4090*x}
alice < !line-too-long 4096
