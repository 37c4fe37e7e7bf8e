package sqltest

// Start starts a PostgreSQL of the program's own for what is not a test: chaos and measurements. It ends with the program.
// The answer is the URL of its maintenance database. settings are further ones, "shared_buffers=1GB".
func Start(settings ...string) (string, error) { return startCluster(settings...) }
