package golden

const fromOld = "status and restore, which upstream has dropped, are there as in 3.5, with its warning"

const noStty = "upstream runs stty, which complains on standard error where there is no terminal"

// ctlDifferences are the calls of etcdctl whose output differs on purpose, with why.
// docs/cli.md says the same to users.
var ctlDifferences = map[string]string{
	"snapshot":                          fromOld,
	"snapshot --help":                   fromOld,
	"snapshot status {dir}/snapshot.db": fromOld,
	"--debug get a":                     "the variables are equal; what Go's gRPC library logs is its own",
	`txn < "lease(\"a\") = \"0\"\n\nget a\n\n\n"`: "upstream panics; we compare leases",
	`txn < "mod(\"a\") >= \"0\"\n\n\n\n"`:         "upstream panics; we say which operator is unknown",
	`--user=u get a < "p\n"`:                      noStty,
	`--user=root get a < "rootpw\n"`:              noStty,
	`user add x < "\n"`:                           noStty,
	"completion bash":                             "a script of our own, with the same commands and flags",
	"completion zsh":                              "a script of our own, with the same commands and flags",
	"completion fish":                             "a script of our own, with the same commands and flags",
	"completion powershell":                       "a script of our own, with the same commands and flags",
}
