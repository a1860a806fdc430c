// Package recipes tests that locks and elections exclude each other whoever takes
// part: callers of the Lock and Election services, users of clientv3/concurrency,
// and etcdctl.
//
// A scenario is run on upstream's server and on the server under test. It checks
// what must hold on each of them, and writes down what happened; both accounts must
// be equal. A contender counts as waiting once its key stands in line, which is
// asked of the server; nothing here waits for a fixed time.
package recipes
