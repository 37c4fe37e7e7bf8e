package redistest

// Run starts a Redis for what is not a test: chaos and measurements. It ends with the program.
func Run(args ...string) (*Server, error) { return start(args...) }

// PID is the process id of the running server.
func (s *Server) PID() int { return s.process.PID() }

// KillAndRestart kills the server with -9 and starts it again on the same socket and directory.
func (s *Server) KillAndRestart() error {
	if err := s.process.Kill(); err != nil {
		return err
	}
	// The shell above the killed server ends with it and would take the directory along, so it is left to wait.
	return s.run()
}
