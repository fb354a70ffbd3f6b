op connects by unix
alice arrives
op > /help
op <* +help
op < +end help
alice > /help
alice <* +help
alice < +end help
