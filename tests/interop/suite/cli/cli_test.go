package cli

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"mainstay.dev/tests/interop/suite/harness"
)

// versions are the releases of etcdctl that are run.
var versions = []string{"3.7", "3.5", "3.4"}

// TestMain runs more tests at a time than there are processors: they wait for
// etcdctl, most of all for its check of performance.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// etcdctl finds one of them.
func etcdctl(t *testing.T, minor string) string {
	t.Helper()
	if minor == "3.4" {
		return harness.OldCtl(t)
	}
	return harness.MustCtl(t, "etcdctl", minor)
}

// TestEtcdctl compares the output of every command, in order, on two servers.
func TestEtcdctl(t *testing.T) {
	t.Parallel()
	target := harness.MustTarget(t)
	for _, minor := range versions {
		t.Run(minor, func(t *testing.T) {
			t.Parallel()
			compare(t, minor, target, script(minor))
		})
	}
}

// TestCheckPerf is etcdctl's own measurement, which takes a minute.
func TestCheckPerf(t *testing.T) {
	t.Parallel()
	target := harness.MustTarget(t)
	for _, minor := range versions {
		t.Run(minor, func(t *testing.T) {
			t.Parallel()
			compare(t, minor, target, []command{
				ctl("check perf --load=s --auto-compact --auto-defrag"), ctl("check perf --load=x"), ctl("get --prefix --keys-only /etcdctl-check"),
				ctl("check datascale --load=s --auto-compact --auto-defrag"),
			})
		})
	}
}

// TestSelf runs the script against upstream twice; what differs is a fault of the
// normalisation.
func TestSelf(t *testing.T) {
	t.Parallel()
	for _, minor := range versions {
		t.Run(minor, func(t *testing.T) {
			t.Parallel()
			compare(t, minor, harness.MustEtcd(t, "3.7"), script(minor))
		})
	}
}

func compare(t *testing.T, minor string, bin harness.Binary, commands []command) {
	path := etcdctl(t, minor)
	a := start(t, path, harness.MustEtcd(t, "3.7"))
	b := start(t, path, bin)
	for _, c := range commands {
		var want, got result
		var errA, errB error
		var both sync.WaitGroup
		both.Go(func() { want, errA = a.run(t.Context(), c) })
		got, errB = b.run(t.Context(), c)
		both.Wait()
		if errA != nil {
			t.Fatalf("reference: %v", errA)
		}
		if errB != nil {
			t.Fatalf("target: %v", errB)
		}
		if testing.Verbose() {
			t.Logf("etcdctl %q: %s", c.args, want)
		}
		if want != got {
			t.Errorf("etcdctl %q differs\nreference: %s\ntarget: %s", c.args, want, got)
		}
	}
}

// start launches a server for the script and waits for its storage version, which
// status shows.
func start(t *testing.T, path string, bin harness.Binary) *target {
	t.Helper()
	s := harness.Start(t, bin, harness.Options{Args: []string{"--bcrypt-cost=4", "--watch-progress-notify-interval=1s"}})
	c, ctx := s.Client(t), harness.Context(t, 30*time.Second)
	for {
		st, err := c.Maintenance.Status(ctx, &pb.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if st.StorageVersion == "3.7.0" {
			return &target{binary: path, endpoint: s.Addr, client: c, words: map[string]string{"dir": t.TempDir()}}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// script is the whole sequence of commands. The outputs of both servers must agree
// after each.
func script(minor string) []command {
	parts := [][]command{data(), reads(), txns(), watches(), leases(), locks(), maintenance(minor), users()}
	return slices.Concat(parts...)
}

func data() []command {
	cs := []command{
		ctl("put foo bar"), ctl("put foo baz --prev-kv"), ctl("put foo baz -w json"), ctl("put foo bazz -w fields"),
		ctl("put from-stdin").with("some value"), ctl("put empty").arg(""), ctl("put -- -dash value"),
		ctl("put foo --ignore-value"), ctl("put absent --ignore-value"), ctl("put absent x --ignore-lease"),
		ctl("put foo v --lease=1234"), ctl("put foo v --lease=xyz"), ctl("put foo --prev-kv -w json").arg("bar"), ctl("put").arg("", "v"), ctl("put sp").arg("with space"),
	}
	for i := range 12 {
		cs = append(cs, ctl(fmt.Sprintf("put key/%02d value-%d", i, 11-i)))
	}
	return append(cs,
		ctl("put range/1 a"), ctl("put range/2 b"), ctl("put range/3 c"), ctl("put zzz/1 a"), ctl("put zzz/2 b"),
		ctl("del range/1 range/3 --prev-kv"), ctl("del --prefix range/ --prev-kv"), ctl("del --from-key zzz/ --prev-kv"), ctl("del --from-key --prefix a"),
		ctl("put gone x"), ctl("del gone"), ctl("del gone"), ctl("del key/00 --prev-kv"), ctl("del key/01 key/03"),
		ctl("del --prefix nothing"), ctl("del key/03 --prev-kv -w json"), ctl("put key/03 again"), ctl("put key/03 again"),
		// Before the leases, whose random ids are part of the hash.
		ctl("endpoint hashkv"), ctl("endpoint hashkv -w json"), ctl("endpoint hashkv --rev=20"),
	)
}

func reads() []command {
	options := []string{
		"foo", "absent", "foo --hex", "foo -w json", "foo -w fields", "foo --print-value-only", "foo --consistency=s",
		"key/ --prefix", "key/ --prefix --keys-only", "key/ --prefix --count-only -w fields", "key/ --prefix --limit=3", "key/ --prefix --limit=3 -w json",
		"key/ --from-key", "key/05 key/08", "key/08 key/05", "key/ --prefix --rev=5", "key/ --prefix --rev=1000", "foo --rev=2",
	}
	for _, by := range []string{"CREATE", "KEY", "MODIFY", "VALUE", "VERSION"} {
		for _, order := range []string{"ASCEND", "DESCEND"} {
			// Equal versions have no promised order, so at most one key is shown.
			limit := ""
			if by == "VERSION" {
				limit = " --limit=1"
			}
			options = append(options, fmt.Sprintf("key/ --prefix --sort-by=%s --order=%s%s", by, order, limit))
		}
	}
	options = append(options,
		"key/ --prefix --min-mod-rev=12", "key/ --prefix --max-mod-rev=12", "key/ --prefix --min-create-rev=12", "key/ --prefix --max-create-rev=12",
		"key/ --prefix --sort-by=WRONG", "foo --consistency=x", "foo --order=WRONG", "foo --consistency=l", "key/ --prefix --count-only", "key/ --prefix --count-only -w json",
		"key/ --prefix --from-key", "key/ --prefix --keys-only --count-only", "foo --print-value-only -w json", "foo -w protobuf", "foo -w table", "foo -w nonsense",
		"key/ --prefix --min-mod-rev=30 --max-mod-rev=3", "key/ --prefix --order=DESCEND --limit=2", "key/ --prefix --hex --keys-only", "key/04 key/07 --keys-only",
	)
	var cs []command
	for _, o := range options {
		c := ctl("get " + o)
		if strings.Contains(o, "-rev=12") {
			c = ctl("get " + o + " --keys-only")
		}
		cs = append(cs, c)
	}
	return append(cs, ctl("get --prefix").arg(""), ctl("get").arg(""))
}

func txns() []command {
	return []command{
		ctl("txn").with("value(\"foo\") = \"bazz\"\n\nput a b\nget foo\n\ndel foo\n\n"),
		ctl("txn -i").with("ver(\"a\") = \"1\"\nmod(\"a\") > \"0\"\n\nput a c --prev-kv\nget key/ --prefix\ndel b\n\nget a\n\n"),
		ctl("txn").with("create(\"absent\") = \"0\"\n\nput absent x\n\n\n"),
		ctl("txn").with("value(\"absent\") = \"nope\"\n\nput a 1\n\nget absent\nput a 2\n\n"),
		ctl("txn -w json").with("value(\"a\") != \"x\"\n\nget a\n\n\n"),
		ctl("txn").with("\nput twice 1\nput twice 2\n\n\n"),
		ctl("txn").with("nonsense\n\n\n\n"),
	}
}

func watches() []command {
	return []command{
		ctl("put w 1"), ctl("put w 2"), ctl("del w"), ctl("put w 3"),
		ctl("watch w --rev=1").interruptedAt("3\n"),
		ctl("watch w --rev=1 --prev-kv").interruptedAt("3\n"),
		ctl("watch w --rev=1 -w json").interruptedAt("Mw=="),
		ctl("watch --prefix key/ --rev=1").interruptedAt("again\nPUT\nkey/03\nagain\n"),
		ctl("watch -i").with("watch w --rev=1\n").interruptedAt("3\n"),
		ctl("watch -i").with("watch --prefix key/ --rev=1 --prev-kv\n").interruptedAt("again\nkey/03\nagain\n"),
		ctl("watch -i").with("watch nothing\nprogress\n").interruptedAt("progress notify"),
		ctl("watch nothing --progress-notify").interruptedAt("progress notify"),
		ctl("put once 1"), ctl("watch once --rev=1 -- echo happened").interruptedAt("happened\n"),
		ctl("watch w x --rev=1").interruptedAt("3\n"), ctl("watch --from-key w --rev=1"), ctl("watch").arg(),
		ctl("watch once --rev=1 -w fields").interruptedAt("\"Lease\" : 0\n"),
		ctl("compaction 10"), ctl("compaction 10"), ctl("compaction 100000"), ctl("compaction 15 --physical"), ctl("compaction x"),
		ctl("watch w --rev=2"), ctl("get w --rev=2"),
	}
}

func leases() []command {
	return []command{
		ctl("lease grant 1000").capturing("lease", `lease ([0-9a-f]+) granted`),
		ctl("put leased 1 --lease={lease}"), ctl("get leased -w fields"),
		ctl("lease timetolive {lease}"), ctl("lease timetolive {lease} --keys"), ctl("lease list"),
		ctl("lease timetolive {lease} --keys -w json"), ctl("lease timetolive {lease} -w fields"), ctl("lease timetolive xyz"),
		ctl("lease keep-alive {lease}").interruptedAt("keepalived"), ctl("lease keep-alive --once {lease} -w json"),
		ctl("put leased2 2 --lease={lease}"),
		ctl("lease keep-alive --once {lease}"), ctl("lease revoke {lease}"), ctl("lease revoke {lease}"),
		ctl("get leased"), ctl("lease timetolive {lease}"), ctl("lease list -w json"), ctl("lease keep-alive --once {lease}"),
		ctl("lease grant x"), ctl("lease grant 9000000001"),
	}
}

func locks() []command {
	return []command{
		ctl("lock mutex").interruptedAt("mutex/"),
		ctl("lock mutex echo inside"),
		ctl("lock mutex -- sh -c").arg("exit 7"),
		ctl("elect post candidate").interruptedAt("candidate"),
		ctl("lock mutex --ttl=5 echo inside"),
		ctl("get --prefix mutex"), ctl("get --prefix post"),
		ctl("put post/1 somebody"), ctl("elect post --listen").interruptedAt("somebody"), ctl("del post/1"),
	}
}

func maintenance(minor string) []command {
	cs := []command{
		ctl("member list"), ctl("member list -w json"), ctl("member list -w fields"), ctl("member list -w table"),
		ctl("member remove 1234"), ctl("member add x --peer-urls=nonsense"),
		ctl("member promote 1234"), ctl("member update 1234 --peer-urls=http://127.0.0.1:1"),
		ctl("endpoint health"), ctl("endpoint health -w json"),
		ctl("endpoint status").loosely(), ctl("endpoint status -w json"), ctl("endpoint status -w fields"), ctl("endpoint status -w table").loosely(),
		ctl("endpoint health --cluster"), ctl("endpoint status --cluster -w json"), ctl("member list --consistency=s"), ctl("member list --consistency=l"),
		ctl("alarm list"), ctl("alarm disarm"), ctl("defrag"), ctl("defrag --cluster"),
		ctl("alarm list").underAlarm(), ctl("alarm list -w json"), ctl("put foo x"), ctl("txn").with("\nput foo x\n\n\n"), ctl("get foo"), ctl("del none"),
		ctl("endpoint health"), ctl("endpoint status -w json"), ctl("endpoint status -w table").loosely(), ctl("alarm disarm"), ctl("alarm list"), ctl("put foo x"),
		ctl("snapshot save {dir}/snapshot.db"), ctl("snapshot save {dir}/none/snapshot.db"), ctl("snapshot save"),
		ctl("move-leader 1234"), ctl("check datascale --load=x"), ctl("version"),
	}
	if minor != "3.7" {
		// Later it is etcdutl's.
		cs = append(cs, ctl("snapshot status {dir}/snapshot.db").loosely())
	}
	if minor == "3.7" {
		cs = append(cs, ctl("downgrade validate 3.6.0"), ctl("downgrade validate 3.5"), ctl("downgrade cancel"), ctl("get key/ --prefix --stream"), ctl("options"))
	}
	return cs
}

func users() []command {
	root := func(words string) command { return ctl("--user=root:rootpw " + words) }
	alice := func(words string) command { return ctl("--user=alice:alicepw " + words) }
	before := []command{
		ctl("auth enable"), ctl("user add root:rootpw"), ctl("user add root:rootpw"), ctl("user add alice:alicepw"), ctl("user add certonly --no-password"),
		ctl("role add readers"), ctl("role add readers"), ctl("role grant-permission readers read key/ --prefix"), ctl("role grant-permission readers readwrite own"),
		ctl("role grant-permission readers write z --from-key"), ctl("role grant-permission readers sideways k"),
		ctl("role get readers"), ctl("role get readers -w json"), ctl("role get nobody"), ctl("user grant-role alice readers"), ctl("user grant-role alice nobody"),
		ctl("user get alice"), ctl("user get alice --detail"), ctl("user list"), ctl("role list"), ctl("auth status"),
	}
	// From here on somebody must log in.
	after := []command{
		ctl("auth enable"), ctl("get foo"), ctl("user list"), ctl("--user=root:wrong get foo"),
		root("get a"), root("auth status"), root("user get root"), root("role get root"), root("endpoint status").loosely(),
		alice("get key/ --prefix --keys-only"), alice("get a"), alice("put own mine"), alice("put key/03 x"), alice("put zz 1"), alice("user list"), alice("user get alice"),
		alice("watch key/ --prefix --rev=1"), alice("txn").with("value(\"key/04\") = \"x\"\n\nput own 2\n\nput a 1\n\n"),
		root("role revoke-permission readers own"), alice("put own again"), root("role delete readers"), alice("get key/04"),
		root("user revoke-role root root"), root("user delete root"), root("user delete alice"), root("user delete alice"),
		alice("get key/04"), root("auth disable"), ctl("auth status"), ctl("get own"),
	}
	return append(before, after...)
}
