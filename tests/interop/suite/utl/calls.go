package utl

import "strings"

// call is one call of a tool.
type call struct {
	tool string
	args []string
	// anySize leaves sizes of files out: both tools have written to theirs, and
	// place pages as they like.
	anySize bool
	// anyHash leaves the hash over the whole file out, for the same reason as a
	// listed difference in what is written.
	anyHash bool
}

func (c call) String() string { return c.tool + " " + strings.Join(c.args, " ") }

func utl(words string) call   { return call{tool: "etcdutl", args: strings.Fields(words)} }
func bbolt(words string) call { return call{tool: "bbolt", args: strings.Fields(words)} }

func (c call) ofAnySize() call { c.anySize = true; return c }
func (c call) ofAnyHash() call { c.anyHash = true; return c }

// empty adds a word that is empty.
func (c call) empty() call {
	c.args = append(append([]string{}, c.args...), "")
	return c
}

// calls is the whole sequence; each side runs it in a directory that holds
//
//	d           the data directory of a stopped member
//	db, h.db    copies of its database; upstream's hashkv changes the one it reads
//	s.db        a snapshot of it; nh.db: the same without its digest
//	bad.db      with a byte changed; f5, f544: its first bytes; none: no bytes
//	page.db     the database with other bytes in its root page
func calls() []call {
	var all []call
	for _, part := range [][]call{words(), looks(), bbolts(), failures(), restores(), migrations()} {
		all = append(all, part...)
	}
	return all
}

// words are those that only read the command line.
func words() []call {
	cs := []call{
		{tool: "etcdutl"}, utl("--help"), utl("-h"), utl("help"), utl("help snapshot"), utl("help snapshot status"), utl("help nope"),
		utl("nope"), utl("snapshoot"), utl("snapshot"), utl("snapshot nope"), utl("snap"), utl("s"), utl("snapshot --help"), utl("s r"), utl("h -h"),
		utl("completion"), utl("completion tcsh"), utl("completion bash zsh"), utl("completion -h"),
		utl("version"), utl("version x"), utl("version -h"), utl("-w json version"), utl("--nope"), utl("-x"), utl("version --timeout x"), utl("version --timeout=5"),
		utl("version -w"), utl("version --write-out=table"), utl("defrag -h"), utl("hashkv -h"), utl("migrate -h"), utl("snapshot status -h"), utl("snapshot restore -h"),
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		cs = append(cs, utl("completion "+shell))
	}
	for _, name := range []string{"buckets", "check", "dump", "get", "info", "inspect", "keys", "page", "page-item", "pages", "stats"} {
		cs = append(cs, bbolt(name))
	}
	return cs
}

// looks are those that only look at files.
func looks() []call {
	var cs []call
	for _, format := range []string{"simple", "json", "table", "fields", "protobuf", "nope"} {
		cs = append(cs, utl("snapshot status s.db -w "+format), utl("snapshot status db -w "+format), utl("hashkv h.db -w "+format))
	}
	return append(cs,
		utl("hashkv h.db --rev 1"), utl("hashkv h.db --rev {compacted}"), utl("hashkv h.db --rev {compacted+1}"), utl("hashkv h.db --rev {revision}"),
		utl("hashkv h.db --rev 1000000"), utl("hashkv h.db --rev -1"), utl("hashkv h.db --rev 0x20 --timeout 1s"), utl("snapshot status nh.db"), utl("--write-out json s s s.db"),
	)
}

// bbolts are those of bbolt's own tool.
func bbolts() []call {
	cs := []call{
		bbolt("buckets db"), bbolt("check db"), bbolt("check db --from-page {root}"), bbolt("check db --from-page 1000000"), bbolt("check db --from-page 1"),
		bbolt("info db"), bbolt("inspect db"), bbolt("pages db"), bbolt("stats db"), bbolt("stats db m"), bbolt("stats db nope"),
		bbolt("get db meta storageVersion"), bbolt("get db meta term"), bbolt("get db meta 7465726d --parse-format hex --format hex"), bbolt("get db meta term --format nope"),
		bbolt("get db meta nope"), bbolt("get db nope x"), bbolt("get db meta term x"), bbolt("get db meta").empty(), bbolt("get db meta term --parse-format nope"), bbolt("get db meta 7 --parse-format hex"),
		bbolt("page db 0 1"), bbolt("page db --all"), bbolt("page db --all --format-value hex"), bbolt("page db --all --format-value redacted"), bbolt("page db --all 3"), bbolt("page db 1000000"),
		bbolt("page db x"), bbolt("dump db 0 1 2"), bbolt("dump db 1000000"), bbolt("page-item db 0 0"), bbolt("page-item db 2 0"), bbolt("page-item db 2 60000"),
		bbolt("page-item db 2 0 --key-only --value-only"), bbolt("page-item db x 0"), bbolt("pages s.db"), bbolt("check s.db"), bbolt("get -h"), bbolt("buckets -h"), bbolt("page -h"), bbolt("nope"),
		bbolt("buckets none"), bbolt("buckets f5"), bbolt("buckets absent"), bbolt("pages absent"), bbolt("page absent 1"), bbolt("dump f5 0"), bbolt("keys db nope"), bbolt("keys db"),
	}
	for _, bucket := range []string{"alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed", "meta"} {
		cs = append(cs, bbolt("keys db "+bucket))
	}
	for _, format := range []string{"auto", "ascii-encoded", "hex", "bytes", "redacted", "nope"} {
		cs = append(cs, bbolt("keys db key -f "+format))
	}
	return cs
}

// failures are those of calls that change nothing since they fail.
func failures() []call {
	return []call{
		utl("snapshot status"), utl("snapshot status a b"), utl("snapshot status absent"), utl("snapshot status none"), utl("snapshot status f5"), utl("snapshot status f544"), utl("snapshot status d"),
		utl("snapshot status bad.db"), utl("snapshot status page.db"),
		utl("hashkv"), utl("hashkv a b"), utl("hashkv absent"), utl("hashkv h.db --rev x"), utl("hashkv h.db --rev 99999999999999999999"),
		utl("defrag"), utl("defrag --data-dir absent"), utl("defrag --data-dir").empty(), utl("defrag --data-dir"),
		utl("migrate"), utl("migrate --data-dir d"), utl("migrate --target-version 3.6"), utl("migrate --data-dir d --target-version 3"), utl("migrate --data-dir d --target-version 3.6.0"),
		utl("migrate --data-dir d --target-version 3.4"), utl("migrate --data-dir d --target-version 2.9"), utl("migrate --data-dir d --target-version 3.x"), utl("migrate --data-dir d --target-version .6"),
		utl("migrate --data-dir d --target-version 3."), utl("migrate --data-dir d --target-version 99999999999999999999.1"), utl("migrate --data-dir absent --target-version 3.6"),
		utl("migrate --data-dir d --target-version 3.8"), utl("migrate --data-dir d --target-version 4.0"), utl("migrate --data-dir d --target-version 3.6 --force=maybe"),
		utl("snapshot restore"), utl("snapshot restore a b"), utl("snapshot restore absent --data-dir x1"), utl("snapshot restore f5 --data-dir x2"), utl("snapshot restore f544 --data-dir x3"),
		utl("snapshot restore nh.db --data-dir x4"), utl("snapshot restore bad.db --data-dir x5"), utl("snapshot restore s.db --data-dir d"), utl("snapshot restore s.db --data-dir x6 --wal-dir d"),
		utl("snapshot restore s.db --data-dir x7 --name nobody"), utl("snapshot restore s.db --data-dir x8 --bump-revision 5"), utl("snapshot restore s.db --data-dir x8 --mark-compacted"),
		utl("snapshot restore s.db --data-dir x9 --bump-revision x"), utl("snapshot restore s.db --data-dir x9 --bump-revision -1"), utl("snapshot restore s.db --data-dir x9 --skip-hash-check=x"),
		utl("snapshot restore s.db --data-dir x10 --initial-cluster default=http:/x"), utl("snapshot restore s.db --data-dir x10 --initial-cluster").empty(), utl("snapshot restore s.db --data-dir x10 --initial-cluster nothing"),
		utl("snapshot restore s.db --data-dir x10 --initial-advertise-peer-urls").empty(), utl("snapshot restore s.db --data-dir x10 --initial-advertise-peer-urls http://127.0.0.1:1,http://127.0.0.1:2"),
		utl("snapshot restore s.db --data-dir x11 --initial-cluster default=http://127.0.0.1:2"), utl("snapshot restore s.db --data-dir x11 --initial-cluster default=http://localhost:2380,default=http://127.0.0.1:3"),
		utl("snapshot restore s.db --data-dir x12 --name b --initial-cluster a=http://127.0.0.1:2,b=http://127.0.0.1:2 --initial-advertise-peer-urls http://127.0.0.1:2"),
		utl("snapshot restore s.db --data-dir x13 --initial-cluster default=ftp://127.0.0.1:2"), utl("snapshot restore s.db --data-dir x14 --initial-cluster default=http://127.0.0.1:2/path"),
	}
}

// restores are those of snapshots, with looks at what they made.
func restores() []call {
	cs := []call{
		utl("snapshot restore s.db"), utl("snapshot restore s.db"), utl("snapshot restore nh.db --skip-hash-check --data-dir r1"), utl("snapshot restore s.db --data-dir r2 --wal-dir w2"), utl("snapshot restore s.db --data-dir r3 --wal-dir w2"),
		utl("snapshot restore s.db --name b --initial-cluster a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3 --initial-advertise-peer-urls http://127.0.0.1:2"),
		utl("snapshot restore s.db --data-dir r4 --bump-revision 1000 --mark-compacted"), utl("snapshot restore s.db --data-dir ./r5/ --initial-cluster-token other --initial-memory-map-size 1"),
		utl("snapshot restore s.db --data-dir r6 --name x --initial-cluster x=http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380"),
		utl("snapshot restore db --data-dir r7 --skip-hash-check"),
	}
	for _, dir := range []string{"default.etcd", "r1", "r2", "b.etcd", "r4", "r5", "r6", "r7"} {
		file := dir + "/member/snap/db"
		cs = append(cs, utl("snapshot status "+file).ofAnySize().ofAnyHash(), bbolt("check "+file))
		for _, bucket := range []string{"key", "members", "members_removed", "cluster", "lease", "auth"} {
			cs = append(cs, bbolt("keys "+file+" "+bucket))
		}
		for _, key := range []string{"consistent_index", "term", "storageVersion", "scheduledCompactRev", "finishedCompactRev"} {
			cs = append(cs, bbolt("get "+file+" meta "+key))
		}
		// At last: where a compaction is due, upstream's goes on with it while it reads.
		cs = append(cs, utl("hashkv "+file))
	}
	return append(cs, utl("defrag --data-dir r1").ofAnySize(), utl("hashkv r1/member/snap/db"), utl("snapshot status r1/member/snap/db").ofAnySize().ofAnyHash())
}

// migrations change the storage version there and back.
func migrations() []call {
	var cs []call
	look := []call{utl("snapshot status d/member/snap/db").ofAnySize(), utl("hashkv d/member/snap/db"), bbolt("keys d/member/snap/db meta")}
	for _, line := range []string{
		"defrag --data-dir d", "migrate --data-dir d --target-version 3.7", "migrate --data-dir d --target-version 3.6", "migrate --data-dir d --target-version 3.6 --force", "migrate --data-dir d --target-version 3.5",
		"migrate --data-dir d --target-version 3.7", "migrate --data-dir d --target-version 3.5", "migrate --data-dir d --target-version 3.6", "migrate --data-dir d --target-version 3.9 --force",
		"migrate --data-dir d --target-version 3.7", "migrate --data-dir d --target-version 3.5 --force", "migrate --data-dir d --target-version 3.7 --timeout 1s", "defrag --data-dir d --timeout 0",
	} {
		cs = append(append(cs, utl(line).ofAnySize()), look...)
	}
	return cs
}
