// Command etcd is the upstream server of the release pinned in go.mod, built so
// that the tests have a real etcd process to compare against.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
