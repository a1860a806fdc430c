package utl

// differences are the calls whose outcome is not upstream's, and why. One that no
// longer differs fails the test.
var differences = map[string]string{
	"etcdutl completion bash":         "a script of our own, with the same commands and flags",
	"etcdutl completion zsh":          "a script of our own, with the same commands and flags",
	"etcdutl completion fish":         "a script of our own, with the same commands and flags",
	"etcdutl completion powershell":   "a script of our own, with the same commands and flags",
	"bbolt buckets none":              "upstream tries to write the file that it was to read: `write none: bad file descriptor`; ours says that it is no database",
	"etcdutl snapshot status none":    "upstream tries to write the file that it was to read: `write none: bad file descriptor`; ours says that it is no database",
	"etcdutl snapshot status f544":    "ours says where the file ends",
	"etcdutl snapshot status bad.db":  "upstream does not look at the digest, and takes a snapshot that it would not restore; ours does",
	"etcdutl snapshot status page.db": "upstream ends in a panic with exit code 2; ours says which page is damaged",
}
