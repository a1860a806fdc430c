package golden

import (
	"fmt"
	"slices"
	"strings"
)

var formats = []string{"simple", "json", "fields", "protobuf", "table"}

// ctlTable is every command of etcdctl. The order matters: later calls see what
// earlier ones did.
func ctlTable() []call {
	parts := [][]call{tool(), global(), data(), reads(), txns(), watches(), leases(), locks(), members(), endpoints(), maintenance(), mirror(), users()}
	return slices.Concat(parts...)
}

// shortTable is for other releases: what every one of them serves.
func shortTable() []call {
	return []call{
		ctl("put a 1"), ctl("put a 2 --prev-kv"), ctl("get a"), ctl("get a -w json"), ctl("get a -w fields"), ctl("get --prefix").arg(""), ctl("get a --rev=2"),
		ctl("txn").with("value(\"a\") = \"2\"\n\nput b 1\nget a\n\ndel a\n\n"), ctl("watch a --rev=1").interruptedAt("PUT\na\n2\n"),
		ctl("lease grant 500").capturing("lease", `lease ([0-9a-f]+) granted`), ctl("put c 1 --lease={lease}"), ctl("lease timetolive {lease} --keys"),
		ctl("lease keep-alive --once {lease}"), ctl("lease list"), ctl("lease revoke {lease}"), ctl("get c"), ctl("lock m echo held"),
		ctl("elect e v").interruptedAt("v\n"), ctl("member list"), ctl("endpoint health"), ctl("endpoint status").loosely(), ctl("endpoint hashkv").loosely(),
		ctl("alarm list"), ctl("defrag"), ctl("compaction 2"), ctl("get a --rev=1"), ctl("snapshot save {dir}/s.db"), ctl("del a --prev-kv"),
		ctl("user add root:r"), ctl("role add r"), ctl("role grant-permission r readwrite k --prefix"), ctl("role get r"), ctl("user add u:p"),
		ctl("user grant-role u r"), ctl("auth enable"), ctl("get a"), ctl("--user=u:p put k1 v"), ctl("--user=u:p get k1"), ctl("--user=u:p get a"), ctl("--user=u:x get k1"),
		ctl("--user=root:r user get u --detail"), ctl("--user=root:r auth status"), ctl("--user=root:r auth disable"),
	}
}

// commands are all that have a help page.
var commands = []string{
	"get", "put", "del", "txn", "compaction", "watch", "lease", "lease grant", "lease revoke", "lease timetolive", "lease list", "lease keep-alive",
	"alarm", "alarm list", "alarm disarm", "defrag", "endpoint", "endpoint health", "endpoint status", "endpoint hashkv", "move-leader", "version",
	"member", "member add", "member remove", "member update", "member list", "member promote", "snapshot", "snapshot save", "make-mirror", "lock", "elect",
	"auth", "auth enable", "auth disable", "auth status", "user", "user add", "user delete", "user get", "user list", "user passwd", "user grant-role", "user revoke-role",
	"role", "role add", "role delete", "role get", "role list", "role grant-permission", "role revoke-permission", "check", "check perf", "check datascale",
	"completion", "downgrade", "downgrade validate", "downgrade enable", "downgrade cancel", "options", "help",
}

// tool is what is about the command line itself.
func tool() []call {
	cs := []call{
		alone(""), alone("--help"), alone("-h"), alone("help nosuch x"), alone("--help get"), alone("help member"), alone("member --help add"),
		alone("version"), alone("options"), alone("ver"), alone("-w json version"), alone("-wjson version"), alone("-w=json version"), alone("--hex version extra"),
		alone("nosuch"), alone("putt"), alone("e"), alone("Get"), alone("member nosuch"), ctl("lease lis nosuch"), alone("--version"), alone("-x"), alone("-w"),
		alone("get --nosuch"), alone("get -x"), alone("get --limit"), alone("get --limit=x"), alone("get --limit=99999999999999999999"), alone("get ---a"), alone("get --=x"),
		alone("get --prefix=maybe a"), alone("--hex=maybe get a"), alone("--dial-timeout=5 get a"), alone("--command-timeout=soon get a"), alone("lock --ttl=x a"),
		alone("make-mirror --max-txn-ops=-1 x"), alone("--endpoints=a\"b get x"), alone("completion"), alone("completion nosuch"), alone("completion bash zsh"),
		alone("completion bash"), alone("completion zsh"), alone("completion fish"), alone("completion powershell"),
	}
	for _, c := range commands {
		cs = append(cs, alone(c+" --help"))
	}
	return cs
}

// global is global flags and variables.
func global() []call {
	return []call{
		alone("get a").under("ETCDCTL_ENDPOINTS={endpoint}"), ctl("get a").under("ETCDCTL_ENDPOINTS={endpoint}"), ctl("get a").under("ETCDCTL_NOSUCH=1", "ETCDCTL_API=3"),
		alone("put e f").under("ETCDCTL_ENDPOINTS={endpoint}", "ETCDCTL_WRITE_OUT=json"), ctl("get e").under("ETCDCTL_HEX=true"), ctl("get e").under("ETCDCTL_COMMAND_TIMEOUT=nonsense"),
		ctl("get e").under("ETCDCTL_WRITE_OUT=nonsense"), ctl("endpoint health").under("ETCDCTL_CLUSTER=true"), ctl("version").under("ETCDCTL_ENDPOINTS=x"),
		ctl("get e --hex -w json"), ctl("--hex get e"), ctl("get e --hex"), ctl("get e -w nope"), ctl("del e"),
		ctl("--cert= get a"), ctl("--key= get a"), ctl("--cacert= get a"), ctl("--cert=/nosuch get a"), ctl("--cert=/nosuch --key=/nosuch get a"), ctl("--cacert=/nosuch get a"),
		alone("--endpoints= get a"), alone("--endpoints=127.0.0.1:1 --command-timeout=300ms get a"), alone("--endpoints=127.0.0.1:1 --command-timeout=300ms put a b"),
		alone("--endpoints=127.0.0.1:1,{endpoint} put failover 1"), alone("--endpoints={endpoint},127.0.0.1:1 get failover"), ctl("del failover"),
		alone("--endpoints=http://127.0.0.1:1 --dial-timeout=300ms --user=a:b get a"), alone("--endpoints=127.0.0.1:1 --command-timeout=300ms endpoint health"),
		alone("--endpoints=127.0.0.1:1 --command-timeout=300ms endpoint status"), alone("--endpoints=127.0.0.1:1 --command-timeout=300ms endpoint hashkv"),
		alone("--endpoints=127.0.0.1:1,{endpoint} --command-timeout=300ms endpoint status").loosely(), alone("--endpoints=127.0.0.1:1 --command-timeout=300ms defrag"),
		alone("--endpoints=127.0.0.1:1 --command-timeout=300ms member list"), alone("--endpoints=127.0.0.1:1 --command-timeout=300ms endpoint health -w json"),
		alone("--endpoints=127.0.0.1:1 --command-timeout=300ms endpoint status -w json"), alone("--endpoints=127.0.0.1:1 --command-timeout=300ms endpoint status -w table"),
		alone("--endpoints=127.0.0.1:1 --command-timeout=300ms endpoint status --cluster"), alone("--endpoints=127.0.0.1:1 --command-timeout=300ms snapshot save {dir}/x"),
		alone("--endpoints=http://{endpoint} get a"), alone("--endpoints=https://{endpoint} --command-timeout=500ms get a"), ctl("--insecure-transport=false --command-timeout=500ms get a"),
		ctl("--max-request-bytes=5 put a bbbbbbbbbb"), ctl("--max-recv-bytes=5 get a"), ctl("--max-request-bytes=50 --max-recv-bytes=20 get a"),
		ctl("--discovery-srv=nosuch.invalid get a"), ctl("--user=u: get a"), ctl("--user=u:p get a"), ctl("--user=u --password=p get a"), ctl("--user=u get a").with("p\n"),
		ctl("--auth-jwt-token=x get a"), ctl("--debug get a"),
	}
}

func data() []call {
	cs := []call{
		ctl("put foo bar"), ctl("put foo baz --prev-kv"), ctl("put from-stdin").with("some value\n"), ctl("put none"), ctl("put"), ctl("put empty").arg(""),
		ctl("put -- -dash value"), ctl("put foo --ignore-value"), ctl("put foo x --ignore-value"), ctl("put absent --ignore-value"), ctl("put absent x --ignore-lease"),
		ctl("put foo x --ignore-lease"), ctl("put foo v --lease=1234"), ctl("put foo v --lease=xyz"), ctl("put").arg("", "v"), ctl("put sp").arg("with space <&>\n\x01é"),
	}
	for _, f := range formats {
		cs = append(cs, ctl("put foo bazz --prev-kv -w "+f), ctl("put foo bazz --prev-kv --hex -w "+f))
	}
	for i := range 12 {
		cs = append(cs, ctl(fmt.Sprintf("put key/%02d value-%d", i, 11-i)))
	}
	cs = append(cs,
		ctl("put range/1 a"), ctl("put range/2 b"), ctl("put range/3 c"), ctl("put zzz/1 a"), ctl("put zzz/2 b"),
		ctl("del range/1 range/3 --prev-kv"), ctl("del range/3 range/4 --range"), ctl("del --prefix range/ --prev-kv"), ctl("del --from-key zzz/ --prev-kv"),
		ctl("del --from-key --prefix a"), ctl("del --prefix a b"), ctl("del"), ctl("del a b c"), ctl("del --prefix nothing"), ctl("del gone"),
	)
	for _, f := range formats {
		cs = append(cs, ctl("put gone x"), ctl("del gone --prev-kv -w "+f))
	}
	// Before the leases, whose random ids are part of the hash.
	return append(cs, ctl("endpoint hashkv"), ctl("endpoint hashkv -w json"), ctl("endpoint hashkv -w fields"), ctl("endpoint hashkv -w table"), ctl("endpoint hashkv -w protobuf"),
		ctl("endpoint hashkv --rev=20"), ctl("endpoint hashkv --rev=2000"), ctl("endpoint hashkv --rev=x"))
}

func reads() []call {
	options := []string{
		"foo", "absent", "foo --hex", "foo --print-value-only", "foo --print-value-only --hex", "foo --consistency=s", "foo --consistency=l", "sp", "sp -w fields", "sp -w json",
		"key/ --prefix", "key/ --prefix --keys-only", "key/ --prefix --keys-only -w json", "key/ --prefix --count-only -w fields", "key/ --prefix --limit=3", "key/ --prefix --limit=3 -w json",
		"key/ --prefix --limit=3 -w fields", "key/ --from-key", "key/05 key/08", "key/08 key/05", "key/ --prefix --rev=5", "key/ --prefix --rev=1000", "foo --rev=2", "foo --rev=-1",
	}
	for _, by := range []string{"CREATE", "KEY", "MODIFY", "VALUE", "version"} {
		for _, order := range []string{"ASCEND", "descend"} {
			// Equal versions have no promised order, so at most one key is shown.
			limit := ""
			if by == "version" {
				limit = " --limit=1"
			}
			options = append(options, fmt.Sprintf("key/ --prefix --sort-by=%s --order=%s%s", by, order, limit))
		}
	}
	options = append(options,
		"key/ --prefix --min-mod-rev=32 --keys-only", "key/ --prefix --max-mod-rev=32 --keys-only", "key/ --prefix --min-create-rev=32 --keys-only", "key/ --prefix --max-create-rev=32 --keys-only",
		"key/ --prefix --sort-by=WRONG", "foo --consistency=x", "foo --order=WRONG", "key/ --prefix --count-only", "key/ --prefix --count-only -w json",
		"key/ --prefix --from-key", "key/ --prefix --keys-only --count-only", "foo --print-value-only -w json", "foo -w protobuf", "foo -w table", "a b --prefix", "a b c",
		"key/ --prefix --min-mod-rev=30 --max-mod-rev=3", "key/ --prefix --min-create-rev=30 --max-create-rev=3", "key/ --prefix --order=DESCEND --limit=2", "key/ --prefix --hex --keys-only",
		"key/ --prefix --stream", "key/ --prefix --stream -w json", "absent --stream", "key/ --prefix --stream --limit=2 -w fields",
	)
	cs := []call{ctl("get")}
	for _, o := range options {
		cs = append(cs, ctl("get "+o))
	}
	return append(cs, ctl("get --prefix").arg(""), ctl("get --from-key").arg(""), ctl("get").arg(""))
}

func txns() []call {
	cs := []call{
		ctl("txn x"), ctl("txn").with(""), ctl("txn").with("\n\n"), ctl("txn").with("\n\n\n"), ctl("txn -i").with("\n\n\n"),
		ctl("txn -i").with("ver(\"a\") = \"0\"\nmod(\"a\") < \"1\"\n\nput a c --prev-kv\nget key/ --prefix\ndel b\n\nget a\n\n"),
		ctl("txn").with("c(\"absent\") = \"0\"\n\nput absent x\n\n\n"), ctl("txn").with("create(\"absent\") > \"0\"\n\nput absent x\n\n\n"), ctl("txn").with("version(\"absent\") != \"0\"\nm(\"a\") > \"1\"\n\nget a\n\n\n"),
		ctl("txn").with("val(\"absent\") = \"nope\"\n\nput a 1\n\nget absent\nput a 2\n\n"),
		ctl("txn").with("\nput twice 1\nput twice 2\n\n\n"), ctl("txn").with("\np short 1\nput 'single quoted' \"double \\\"quoted\\\"\"\nget \"single quoted\"\n\n\n"),
		ctl("txn").with("nonsense\n\n\n\n"), ctl("txn").with("mod(a) > \"0\"\n\n\n\n"), ctl("txn").with("mod(\"a\") >\n\n\n\n"), ctl("txn").with("mod(\"a\") > \"x\"\n\n\n\n"),
		ctl("txn").with("size(\"a\") > \"1\"\n\n\n\n"), ctl("txn").with("\nput\n\n\n"), ctl("txn").with("\nput a\n\n\n"), ctl("txn").with("\nnosuch a b\n\n\n"),
		ctl("txn").with("\nget a --nosuch\n\n\n"), ctl("txn").with("\nget a --prefix --from-key\n\n\n"), ctl("txn").with("\ndel a b c\n\n\n"), ctl("txn").with("\nput a b --lease=xyz\n\n\n"),
		ctl("txn").with("lease(\"a\") = \"0\"\n\nget a\n\n\n"), ctl("txn").with("mod(\"a\") >= \"0\"\n\n\n\n"),
	}
	for _, f := range formats {
		cs = append(cs, ctl("txn -w "+f).with("value(\"a\") != \"x\"\n\nget a\nput b 1 --prev-kv\ndel absent --prev-kv\n\n\n"), ctl("txn --hex -w "+f).with("value(\"a\") = \"x\"\n\n\nget a\n\n"))
	}
	return cs
}

func watches() []call {
	cs := []call{
		ctl("put w 1"), ctl("put w 2"), ctl("del w"), ctl("put w 3"), ctl("put wx 4"),
		ctl("watch w --rev=1").interruptedAt("3\n"), ctl("watch w --rev=1 --prev-kv").interruptedAt("3\n"), ctl("watch w --rev=1 -w json").interruptedAt("Mw=="),
		ctl("watch w --rev=1 -w json --prev-kv --hex").interruptedAt("Mw=="), ctl("watch w --rev=1 -w fields").interruptedAt("\"3\"\n\"Lease\" : 0\n"), ctl("watch w --rev=1 -w protobuf").interruptedAt("3"),
		ctl("watch w --rev=1 -w table"), ctl("watch w --rev=1 --hex").interruptedAt("\\x33\n"), ctl("watch --prefix w --rev=1").interruptedAt("4\n"), ctl("watch w x --rev=1").interruptedAt("4\n"),
		ctl("watch --prefix key/ --rev=1").interruptedAt("key/11\nvalue-0\n"),
		ctl("watch -i").with("watch w --rev=1\n").interruptedAt("3\n"), ctl("watch -i").with("watch --prefix w --rev=1 --prev-kv\n").interruptedAt("4\n"),
		ctl("watch -i").with("watch nothing\nprogress\n").interruptedAt("progress notify"), ctl("watch -i").with("nosuch\nwatch\n\n"), ctl("watch -i").with("watch a --nosuch\n"),
		ctl("watch -i").with("watch a b --prefix\nwatch w --rev=1\n").interruptedAt("3\n"), ctl("watch -i").with("watch w --rev=1 -- echo seen\n").interruptedAt("3\nseen\nseen\nseen\nseen\n"), ctl("watch -i").with("watch a --\n"),
		ctl("watch -i").with("watch --rev=1\n").under("ETCDCTL_WATCH_KEY=w").interruptedAt("3\n"), ctl("watch -i").with("watch w\n").under("ETCDCTL_WATCH_KEY=w"),
		ctl("watch nothing --progress-notify").interruptedAt("progress notify"), ctl("watch nothing --progress-notify -w json").interruptedAt("Header"),
		ctl("put once").arg("one \"value\""), ctl("watch once --rev=1 -- echo happened").interruptedAt("happened\n"),
		ctl("watch once --rev=1 -- sh -c").arg("echo $ETCD_WATCH_REVISION $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE").interruptedAt("PUT\" \"once\""),
		ctl("watch once --rev=1 -- false"), ctl("watch once --rev=1 -- /nosuch/program"), ctl("watch once --rev=1 -- nosuchprogram"), ctl("watch once --rev=1 -- sh -c").arg("kill -9 $$"),
		ctl("watch --from-key w --rev=1"), ctl("watch"), ctl("watch w --"), ctl("watch w x --prefix"), ctl("watch w --rev=x"),
		ctl("watch --rev=1").under("ETCDCTL_WATCH_KEY=w").interruptedAt("3\n"), ctl("watch --rev=1").under("ETCDCTL_WATCH_KEY=w", "ETCDCTL_WATCH_RANGE_END=x").interruptedAt("4\n"),
		ctl("watch w").under("ETCDCTL_WATCH_KEY=w"), ctl("watch w").under("ETCDCTL_WATCH_RANGE_END=w"), ctl("watch --rev=1 -- echo happened").under("ETCDCTL_WATCH_KEY=once").interruptedAt("happened\n"),
		ctl("watch x -- echo happened").under("ETCDCTL_WATCH_KEY=once"), ctl("watch --rev=1 --prefix").arg("").interruptedAt("one \"value\"\n"),
		ctl("compaction"), ctl("compaction x"), ctl("compaction 10"), ctl("compaction 10"), ctl("compaction 100000"), ctl("compaction 15 --physical"), ctl("compaction 16 -w json"), ctl("compaction 1 2"),
		ctl("watch w --rev=2"), ctl("watch w --rev=2 -w json"), ctl("watch w --rev=2 -w fields"), ctl("watch -i").with("watch w\nwatch once --rev=20\n").interruptedAt("one"), ctl("get w --rev=2"),
	}
	return cs
}

func leases() []call {
	cs := []call{
		ctl("lease"), ctl("lease grant"), ctl("lease grant x"), ctl("lease grant 9000000001"), ctl("lease grant 0").capturing("short", `lease ([0-9a-f]+) granted`), ctl("lease revoke {short}"), ctl("lease revoke"), ctl("lease revoke xyz"), ctl("lease revoke 1234"),
		ctl("lease timetolive"), ctl("lease timetolive xyz"), ctl("lease timetolive 1234"), ctl("lease timetolive 1234 -w json"), ctl("lease keep-alive"), ctl("lease keep-alive xyz"),
		ctl("lease keep-alive --once 1234"), ctl("lease keep-alive 1234"), ctl("lease keep-alive 1234 -w json"), ctl("lease list"), ctl("lease list -w json"),
		ctl("lease grant 1000").capturing("lease", `lease ([0-9a-f]+) granted`), ctl("put leased 1 --lease={lease}"), ctl("get leased -w fields"), ctl("get leased -w fields --hex"),
		ctl("lease keep-alive {lease}").interruptedAt("keepalived"),
	}
	for _, f := range formats {
		for _, c := range []string{"timetolive {lease}", "timetolive {lease} --keys", "list", "keep-alive --once {lease}", "timetolive {lease} --hex --keys", "list --hex"} {
			cs = append(cs, ctl("lease "+c+" -w "+f))
		}
	}
	for i, f := range formats {
		if f == "table" || f == "protobuf" {
			// A message of a lease is nothing but the header.
			cs = append(cs, ctl("lease grant 700 -w "+f))
			continue
		}
		// Its id differs between the sides.
		pattern := map[string]string{"simple": `lease ([0-9a-f]+) granted`, "json": `"ID":(\d+)`, "fields": `"ID" : (\d+)`}[f]
		cs = append(cs, ctl("lease grant 700 -w "+f).capturing(fmt.Sprintf("other%d", i), pattern))
	}
	return append(cs, ctl("lease revoke {lease} -w json"), ctl("lease revoke {lease}"), ctl("lease revoke {other0} -w fields"), ctl("get leased"), ctl("lease timetolive {lease}"))
}

func locks() []call {
	return []call{
		ctl("lock"), ctl("lock mutex").interruptedAt("mutex/"), ctl("lock mutex -w fields").interruptedAt("\"Count\""), ctl("lock mutex echo inside"), ctl("lock mutex -- sh -c").arg("exit 7"),
		ctl("lock mutex -- sh -c").arg("echo $ETCD_LOCK_KEY ETCD_LOCK_REV=$ETCD_LOCK_REV"), ctl("lock mutex nosuchprogram"), ctl("lock mutex /nosuch/program"), ctl("lock mutex --ttl=5 echo inside"),
		ctl("lock mutex --ttl=0 echo inside"), ctl("elect"), ctl("elect post"), ctl("elect post a b"), ctl("elect post a -l"), ctl("elect post candidate").interruptedAt("candidate"),
		ctl("elect post candidate -w fields").interruptedAt("\"Count\""), ctl("get --prefix mutex"), ctl("get --prefix post"), ctl("put post/1 somebody"),
		ctl("elect post --listen").interruptedAt("somebody"), ctl("elect post -l -w fields").interruptedAt("\"Count\""), ctl("del post/1"),
	}
}

func members() []call {
	cs := []call{
		ctl("member"), ctl("member list --consistency=s"), ctl("member list --consistency=x"), ctl("member add"), ctl("member add x"), ctl("member add x http://a HTTPS://b"), ctl("member add x y"),
		ctl("member add x --peer-urls=nonsense"), ctl("member remove"), ctl("member remove 1234"), ctl("member remove xyz"), ctl("member remove -- -1"), ctl("member promote"), ctl("member promote 1234"),
		ctl("member promote 10000000000000000"), ctl("member update"), ctl("member update 1234"), ctl("member update xyz --peer-urls=http://127.0.0.1:1"), ctl("member update 1234 --peer-urls=http://127.0.0.1:1"),
		ctl("member add new --learner --peer-urls=http://127.0.0.1:1,http://127.0.0.1:2").capturing("member", `Member +([0-9a-f]+) added`),
	}
	for _, f := range formats {
		cs = append(cs, ctl("member list -w "+f).loosely(), ctl("member list --hex -w "+f).loosely())
	}
	for _, f := range []string{"simple", "json", "fields"} {
		cs = append(cs, ctl("member update {member} --peer-urls=http://127.0.0.1:3 -w "+f))
	}
	return append(cs, ctl("member promote {member}"), ctl("member add two --learner --peer-urls=http://127.0.0.1:4"), ctl("member update {member} --peer-urls=http://127.0.0.1:5 --hex -w json"),
		ctl("member remove {member} --hex -w json"), ctl("member remove {member}"), ctl("member list"),
		ctl("member add x --learner --peer-urls=http://127.0.0.1:6 -w json").capturing("third", `"member":\{"ID":(\d+)`), ctl("member remove {member} -w table"))
}

func endpoints() []call {
	cs := []call{ctl("endpoint"), ctl("endpoint nosuch"), ctl("endpoint health --cluster"), ctl("endpoint status --cluster -w json"), ctl("endpoint hashkv --cluster").loosely(), ctl("endpoint health extra")}
	for _, f := range formats {
		cs = append(cs, ctl("endpoint health -w "+f).loosely(), ctl("endpoint status -w "+f).loosely(), ctl("endpoint status --hex -w "+f).loosely())
	}
	return cs
}

func maintenance() []call {
	cs := []call{
		ctl("alarm"), ctl("alarm list x"), ctl("alarm disarm x"), ctl("alarm list"), ctl("alarm disarm"), ctl("alarm disarm -w json"), ctl("alarm list -w fields"), ctl("defrag"), ctl("defrag --cluster"), ctl("defrag -w json"),
		ctl("alarm list").underAlarm(), ctl("put foo x"), ctl("txn").with("\nput foo x\n\n\n"), ctl("get foo"), ctl("del none"), ctl("endpoint health"), ctl("endpoint health -w json"), ctl("endpoint health -w fields"),
		ctl("endpoint status -w json"), ctl("endpoint status -w fields"), ctl("endpoint status -w table").loosely(),
	}
	for _, f := range formats {
		cs = append(cs, ctl("alarm list -w "+f), ctl("alarm list --hex -w "+f))
	}
	cs = append(cs, ctl("alarm disarm"), ctl("alarm disarm -w fields").underAlarm(), ctl("alarm disarm -w json").underAlarm(), ctl("alarm list"), ctl("put foo x"),
		ctl("snapshot"), ctl("snapshot save"), ctl("snapshot save a b"), ctl("snapshot save {dir}/snapshot.db"), ctl("snapshot save {dir}/snapshot.db --command-timeout=30s -w json"), ctl("snapshot save {dir}/none/snapshot.db"),
		ctl("snapshot save {dir}"), ctl("snapshot status {dir}/snapshot.db"), alone("snapshot save {dir}/x --endpoints={endpoint},{endpoint}"),
		ctl("move-leader"), ctl("move-leader xyz"), ctl("move-leader 1234"), ctl("check"), ctl("check perf --load=x"), ctl("check datascale --load=x"), ctl("check datascale --prefix=key/"), ctl("check perf --prefix=key/"),
		ctl("downgrade"), ctl("downgrade validate"), ctl("downgrade validate").arg(""), ctl("downgrade validate 3.6 3.5"), ctl("downgrade validate nonsense"), ctl("downgrade validate 3.5"), ctl("downgrade enable"), ctl("downgrade enable 3.5.0"), ctl("downgrade cancel"))
	for _, f := range formats {
		cs = append(cs, ctl("downgrade validate 3.6.0 -w "+f), ctl("downgrade cancel -w "+f))
	}
	return append(cs, ctl("downgrade enable 3.6.0"), ctl("endpoint status -w fields").loosely(), ctl("downgrade cancel extra"))
}

func mirror() []call {
	return []call{
		ctl("make-mirror"), ctl("make-mirror a b"), ctl("make-mirror {endpoint} --no-dest-prefix --dest-prefix=x"), ctl("make-mirror {endpoint} --prefix=key/ --dest-prefix=copy/").interruptedBy("copy/11"),
		ctl("get --prefix copy/"), ctl("make-mirror {endpoint} --prefix=w --dest-prefix=m --rev=2"), ctl("del --prefix copy/"),
		ctl("make-mirror {endpoint} --dest-cert=/nosuch"), ctl("make-mirror {endpoint} --dest-user=u:p --rev=2"),
	}
}

func users() []call {
	root := func(words string) call { return ctl("--user=root:rootpw " + words) }
	alice := func(words string) call { return ctl("--user=alice:alicepw " + words) }
	cs := []call{
		ctl("auth"), ctl("auth enable x"), ctl("auth disable x"), ctl("auth status x"), ctl("auth enable"), ctl("auth disable"), ctl("user"), ctl("user add"), ctl("user add :p"), ctl("user add a b"), ctl("user add x").with("\n"),
		ctl("user add piped --interactive=false").with("one two\n"), ctl("user add none --interactive=false"), ctl("user add flagged --new-user-password=p"), ctl("user add both:x --new-user-password=p"),
		ctl("user add root:rootpw"), ctl("user add root:rootpw"), ctl("user add alice:alicepw"), ctl("user add certonly --no-password"), ctl("user add colon:a:b"),
		ctl("user get"), ctl("user get nobody"), ctl("user delete"), ctl("user delete nobody"), ctl("user list x"), ctl("user passwd"), ctl("user passwd nobody --interactive=false").with("x\n"),
		ctl("user passwd piped --interactive=false").with("x\n"), ctl("user grant-role"), ctl("user grant-role a"), ctl("user revoke-role a"), ctl("user revoke-role alice nobody"),
		ctl("role"), ctl("role add"), ctl("role add readers"), ctl("role add readers"), ctl("role get"), ctl("role get nobody"), ctl("role delete"), ctl("role delete nobody"), ctl("role list x"),
		ctl("role grant-permission"), ctl("role grant-permission readers read"), ctl("role grant-permission readers sideways k"), ctl("role grant-permission nobody read k"), ctl("role grant-permission readers read key/ --prefix"),
		ctl("role grant-permission readers READWRITE own"), ctl("role grant-permission readers write z --from-key"), ctl("role grant-permission readers read a b"), ctl("role grant-permission readers read a b --prefix"),
		ctl("role grant-permission readers read a b --from-key"), ctl("role grant-permission readers read a --from-key --prefix"), ctl("role grant-permission readers read").arg(""), ctl("role grant-permission readers read --prefix").arg(""),
		ctl("role revoke-permission"), ctl("role revoke-permission readers"), ctl("role revoke-permission readers nosuch"), ctl("role revoke-permission nobody a"), ctl("role revoke-permission readers --prefix").arg(""),
		ctl("role revoke-permission readers").arg(""), ctl("user grant-role alice readers"), ctl("user grant-role alice nobody"), ctl("user grant-role certonly readers"),
	}
	for _, f := range formats {
		for _, c := range []string{
			"user add f:p", "user get alice", "user get alice --detail", "user list", "user passwd f --interactive=false", "user grant-role f readers", "user revoke-role f readers", "user delete f",
			"role add f", "role get readers", "role list", "role grant-permission f read x y", "role revoke-permission f x y", "role delete f", "auth status",
		} {
			call := ctl(c + " -w " + f)
			if strings.Contains(c, "passwd") {
				call = call.with("new\n")
			}
			cs = append(cs, call)
		}
	}
	// From here on somebody must log in.
	return append(cs,
		ctl("role revoke-permission readers z --from-key"), ctl("role grant-permission readers write z --from-key"),
		ctl("auth enable"), ctl("get foo"), ctl("put foo x"), ctl("user list"), ctl("--user=root:wrong get foo"), ctl("--user=nobody:x get foo"), ctl("--user=root --password=rootpw get a"), ctl("--user=root get a").with("rootpw\n"),
		ctl("get a").under("ETCDCTL_USER=root:rootpw"), ctl("get a").under("ETCDCTL_USER=root", "ETCDCTL_PASSWORD=rootpw"), ctl("--auth-jwt-token=nonsense get a"), ctl("--user=root: get a"),
		root("get a"), root("auth status"), root("user get root"), root("role get root"), root("role get root -w fields"), root("endpoint status").loosely(), root("endpoint health"), root("lease list").loosely(),
		alice("get key/ --prefix --keys-only"), alice("get a"), alice("put own mine"), alice("put key/03 x"), alice("put zz 1"), alice("user list"), alice("user get alice"), alice("user get root"),
		alice("endpoint health"), alice("watch key/ --prefix --rev=20").interruptedAt("key/11\nvalue-0\n"), alice("watch zz"), alice("watch zz -w json"), alice("txn").with("value(\"key/04\") = \"x\"\n\nput own 2\n\nput a 1\n\n"),
		alice("lock own echo inside"), alice("member list").loosely(), alice("snapshot save {dir}/denied.db"), alice("defrag"), alice("compaction 70"), alice("alarm disarm"), alice("make-mirror {endpoint} --prefix=zz"),
		root("role revoke-permission readers own"), alice("put own again"), root("role delete readers"), alice("get key/04"),
		root("user revoke-role root root"), root("user delete root"), root("user delete alice"), root("user delete alice"), alice("get key/04"), root("auth disable"), ctl("auth status").loosely(), ctl("get own"),
	)
}
