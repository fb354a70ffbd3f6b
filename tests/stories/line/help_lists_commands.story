alice arrives
alice > /help
alice <* +help\s
alice < +end help
alice > /help me
alice <* +help\s
alice < +end help
