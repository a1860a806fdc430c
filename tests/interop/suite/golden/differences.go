package golden

// ctlDifferences are the calls of etcdctl whose output differs on purpose, with why.
// docs/cli.md says the same to users.
var ctlDifferences = map[string]string{
	"completion bash":       "a script of our own, with the same commands and flags",
	"completion zsh":        "a script of our own, with the same commands and flags",
	"completion fish":       "a script of our own, with the same commands and flags",
	"completion powershell": "a script of our own, with the same commands and flags",
}
