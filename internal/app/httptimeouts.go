package app

import "time"

// HTTP timeouts and limits of a listener. Package limit has those of a request body and of a piece of an answer.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	shutdownTimeout   = 3 * time.Second
	maxHeaderBytes    = 64 << 10
	// maxConnections is the number of connections that each listener serves at a time. Further ones are closed at once, so
	// that idle connections cannot take the file descriptors that media and the database need.
	maxConnections = 4096
)
