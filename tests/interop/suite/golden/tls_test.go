package golden

import (
	"strings"
	"testing"

	"mainstay.dev/tests/interop/suite/harness"
)

// tlsTable reaches a server that wants certificates, with the right ones and without.
// {plain} is its address without a scheme, and other files are of another authority.
func tlsTable() []call {
	cs := []call{alone("--endpoints={plain} --command-timeout=500ms get a"), alone("--endpoints=https://{plain} --command-timeout=500ms get a")}
	whole := "--cacert={ca} --cert={cert} --key={key} "
	for _, flags := range []string{
		"--endpoints=https://{plain} " + whole, "--endpoints={plain} " + whole, "--endpoints=https://{plain} --insecure-skip-tls-verify --cert={cert} --key={key} ",
		"--endpoints={plain} --insecure-transport=false --insecure-skip-tls-verify --cert={cert} --key={key} ",
		"--endpoints=https://127.0.0.1:1,https://{plain} " + whole,
	} {
		cs = append(cs, alone(flags+"put a 1"), alone(flags+"get a"))
	}
	for _, flags := range []string{
		"--endpoints=http://{plain} " + whole, "--endpoints=https://{plain} --cacert={ca} ", "--endpoints=https://{plain} --cacert={otherca} --cert={cert} --key={key} ",
		"--endpoints=https://{plain} --cert={cert} --key={key} ", "--endpoints=https://{plain} --insecure-skip-tls-verify ",
		"--endpoints=https://{plain} --cacert={ca} --cert={othercert} --key={otherkey} ",
	} {
		cs = append(cs, alone(flags+"--command-timeout=500ms get a"))
	}
	return append(cs,
		alone("--endpoints=https://{plain} --cacert={ca} --cert={cert} get a"), alone("--endpoints=https://{plain} --cacert={ca} --key={key} get a"),
		alone("get a").under("ETCDCTL_ENDPOINTS=https://{plain}", "ETCDCTL_CACERT={ca}", "ETCDCTL_CERT={cert}", "ETCDCTL_KEY={key}"),
		alone("--endpoints=https://{plain} "+whole+"endpoint health"), alone("--endpoints=https://{plain} "+whole+"endpoint health --cluster"),
		alone("--endpoints=https://{plain} "+whole+"endpoint status").loosely(), alone("--endpoints=https://{plain} "+whole+"member list"),
		alone("--endpoints=https://{plain} "+whole+"snapshot save {dir}/s.db"), alone("--endpoints=https://{plain} "+whole+"watch a --rev=1").interruptedAt(strings.Repeat("PUT\na\n1\n", 5)),
		alone("--endpoints=https://{plain} "+whole+"defrag"), alone("--endpoints=https://{plain} "+whole+"lock l echo held"),
		alone("--endpoints=https://{plain} "+whole+"make-mirror https://{plain} --dest-prefix=m/ --dest-cacert={ca} --dest-cert={cert} --dest-key={key}").interruptedBy("m/a"),
	)
}

// TestTLS compares how both get on with certificates.
func TestTLS(t *testing.T) {
	t.Parallel()
	etcd := harness.MustEtcd(t, "3.7")
	mine, err := harness.NewTLS(t.TempDir(), "golden")
	if err != nil {
		t.Fatal(err)
	}
	other, err := harness.NewTLS(t.TempDir(), "other")
	if err != nil {
		t.Fatal(err)
	}
	serveTLS := func(tool string) *side {
		s := harness.Start(t, etcd, harness.Options{TLS: mine, Metrics: true})
		return &side{tool: tool, client: s.Client(t), words: map[string]string{
			"dir": t.TempDir(), "plain": s.Addr, "ca": mine.CAFile, "cert": mine.CertFile, "key": mine.KeyFile,
			"otherca": other.CAFile, "othercert": other.CertFile, "otherkey": other.KeyFile,
		}}
	}
	compare(t, serveTLS(harness.MustCtl(t, "etcdctl", "3.7")), serveTLS(ours(t, "etcdctl")), tlsTable(), nil)
}
