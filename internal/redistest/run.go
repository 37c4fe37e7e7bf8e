package redistest

// Run starts a Redis for what is not a test: chaos and measurements. It ends with the program.
func Run(args ...string) (*Server, error) { return start(args...) }

// PID is the process id of the running server.
func (s *Server) PID() int { return s.process.PID() }
