// Package harness starts, stops and kills real server processes for tests.
//
// A [Binary] says how a server is called, [Launch] runs one on ports chosen by
// the system, and a [Server] is one running process with its data directory.
// Tests use [Start], which adds skipping, cleanup and the printing of logs after
// a failure. Nothing here waits for a fixed time: readiness is polled with a
// bound, and the end of a process is awaited.
package harness
