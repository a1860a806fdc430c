// Package disks gives one member of a cluster a disk that stalls or fails, while clients
// record what they see (package history).
//
// A library that is loaded before libc stands between the member and its write-ahead log:
// it holds up syncs, or fails them, as a file says that the test writes. Upstream's
// binaries use no libc, so this is about mainstay alone.
package disks
