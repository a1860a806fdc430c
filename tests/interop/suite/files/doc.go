// Package files checks that data directories pass between upstream's servers and
// ours without loss, in both directions.
//
// A [Fixture] makes a directory with a real server, a [Manifest] records what it
// holds as seen through the API, and the tests boot the other server on a copy.
package files
