// Package golden compares command line tools: every command, flag, format and
// failure of upstream's etcdctl with ours, in order, each against a server of its
// own that is of the same kind.
//
// A [call] is one invocation, a table is a list of them, and [compare] runs a table
// with two tools and demands equal output and exit codes. Differences that stay are
// listed in differences.go with their reasons; one that is gone must be taken off
// that list.
package golden
