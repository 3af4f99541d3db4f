package settings

import (
	"strings"
	"time"
)

func serviceBlock() *Block {
	return &Block{
		Kind: "service", Label: "NAME",
		Help: "How a service runs. The names are " + strings.Join(ServiceNames(), ", ") + ". In lmtp and doveadm the listeners, user and client_limit belong to the front; process_limit, process_min_avail, service_count, idle_kill and vsz_limit to its workers, one of which is born for each user. In the others all belong to the one process.",
		Rows: []Setting{
			{Name: "protocol", Type: Word("", "lmtp"), Help: "The service runs only if this word is in protocols."},
			{Name: "type", Type: Word("", "log", "auth", "anvil", "lmtp", "doveadm"), Help: "Which program's rules hold: the service's name, and no other."},
			{Name: "executable", Type: String(), Help: "The program, in libexec_dir unless absolute."},
			{Name: "user", Type: AccountName(), Help: "The account it runs under, by name or number. Each service has one of its own, and never root."},
			{Name: "group", Type: AccountName(), Help: "Its group. Empty: the account's."},
			{Name: "extra_groups", Type: Words("groups", nil), Help: "Its supplementary groups; no others."},
			{Name: "chroot", Type: BasePath(), Help: "A folder it is confined to. Not in this version, which confines services by the sandbox."},
			{Name: "process_limit", Type: Count(1, 100000), From: "default_process_limit", Help: "Most processes at one time. Further work waits in a queue. log, auth and anvil are one process each."},
			{Name: "process_min_avail", Type: Count(0, 100000), Default: "0", Help: "Idle processes kept ready."},
			{Name: "client_limit", Type: Count(1, 1000000), From: "default_client_limit", Help: "Most clients of one process at one time."},
			{Name: "service_count", Type: Count(0, 1000000000), Default: "0", Help: "User accesses that a worker serves in its life. 1: one user, then exit. 0: no limit; only users of one uid, and with mail_root."},
			{Name: "idle_kill", Type: Time(time.Second, 1000*time.Hour, "never", "infinite"), From: "default_idle_kill", Help: "Idle time after which a process that is not needed ends."},
			{Name: "vsz_limit", Type: Size(LeastVSZ, true), From: "default_vsz_limit", Help: "Memory of one process: of a worker in lmtp and doveadm, whose front is bounded by client_limit and spool_limit, of the service itself elsewhere. 0 is no limit."},
		},
		Blocks: []*Block{
			{Kind: "unix_listener", Label: "PATH", Help: "A UNIX socket. A relative path hangs in base_dir.", Rows: append(fileRows(),
				Setting{Name: "type", Type: String(), Help: "The role of the socket. Empty: as its name says."},
				Setting{Name: "backlog", Type: Count(1, 65535), Default: "512", Help: "Connections that may wait to be accepted."})},
			{Kind: "fifo_listener", Label: "PATH", Help: "A named pipe. A relative path hangs in base_dir.", Rows: fileRows()},
			{Kind: "inet_listener", Label: "NAME", Help: "A TCP port. The name is free.", Rows: []Setting{
				{Name: "address", Type: Addresses(), Help: "Addresses. Empty: those of listen."},
				{Name: "port", Type: Count(0, 65535), Default: "0", Help: "The port. 0 switches the listener off."},
				{Name: "ssl", Type: Bool(), Default: "no", Help: "Whether TLS begins at once. With ssl = no at the top level the listener is left out."},
				{Name: "haproxy", Type: Bool(), Default: "no", Help: "Whether each connection begins with a PROXY header from one of haproxy_trusted_networks."},
				{Name: "reuse_port", Type: Bool(), Default: "no", Help: "Whether the port is opened with SO_REUSEPORT."},
				{Name: "backlog", Type: Count(1, 65535), Default: "512", Help: "Connections that may wait to be accepted."},
				{Name: "type", Type: String(), Help: "The role of the port. Empty: the service's main one."},
			}},
		},
	}
}

// fileRows are what sockets and named pipes have in common.
func fileRows() []Setting {
	return []Setting{
		{Name: "mode", Type: Mode(), Default: "0600", Help: "Permissions, in octal with a leading 0. 0 switches the listener off."},
		{Name: "user", Type: AccountName(), Help: "Owner. Empty: root."},
		{Name: "group", Type: AccountName(), Help: "Group. Empty: root's."},
	}
}

// results are the rules of a chain (spec/auth.md 6.1).
func results(kind string) []Setting {
	rule := Word("return-ok", "return", "return-fail", "continue", "continue-ok", "continue-fail")
	return []Setting{
		{Name: "result_success", Type: rule, Default: "return-ok", For: "auth", Help: "What follows where the " + kind + " says yes: the end, or the next block, with the verdict so far or with another."},
		{Name: "result_failure", Type: rule, Default: "continue", For: "auth", Help: "The same where it says no."},
		{Name: "result_internalfail", Type: rule, Default: "continue", For: "auth", Help: "The same where it could not say. Unless a later block says yes, the answer is a temporary failure."},
	}
}

// databaseRows are the settings of passdb and userdb. Drivers add rows that
// name them; a new driver is a word here and its rows.
func databaseRows(kind string) []Setting {
	drivers, skips, skipped := []string{"passwd-file", "passwd", "shadow", "static"}, []string{"never", "authenticated", "unauthenticated"}, "a block before this one has let the user in, or not"
	if kind == "userdb" {
		drivers, skips, skipped = []string{"passwd-file", "passwd", "static", "prefetch"}, []string{"never", "found", "notfound"}, "a block before this one has the user, or not"
	}
	fields := Setting{Name: "fields", Type: List("NAME=VALUE", fieldPair), For: "auth", Drivers: "static", Help: `Fields of every user, such as "uid=1000", "gid=1000", "home=/srv/mail/%d/%n".`}
	rows := []Setting{
		{Name: "driver", Type: Word(drivers...), Must: true, For: "auth", Help: "The kind of source."},
		{Name: "path", Type: PathTemplate(), For: "auth", Drivers: "passwd-file", Help: "The passwd-file. With variables, such as /etc/culver/users/%d, each of their values has a file of its own; users of such files cannot be listed."},
		{Name: "username_format", Type: UserTemplate(), Default: "%u", For: "auth", Drivers: "passwd-file", Help: "How the user's name is written in the file."},
		{Name: "default_fields", Type: List("NAME=VALUE", fieldPair), For: "auth", Help: "Fields that hold unless the source gives them."},
		{Name: "override_fields", Type: List("NAME=VALUE", fieldPair), For: "auth", Help: "Fields that hold whatever the source gives."},
		{Name: "username_filter", Type: Words("masks", nil), For: "auth", Help: "Only users whose names match one of the masks are asked for here; ! before a mask excludes."},
		{Name: "skip", Type: Word(skips...), Default: "never", For: "auth", Help: "The block is passed over where " + skipped + "."},
		{Name: "timeout", Type: Time(100*time.Millisecond, 8*time.Second), Default: "5s", For: "auth", Help: "How long the source may take. After several failures it is left alone for a while, and what it would have been asked is a temporary failure at once."},
		{Name: "use_cache", Type: Bool(), Default: "yes", For: "auth", Help: "Whether its answers are remembered (auth_cache_size). Those of all drivers so far are in memory, whatever it says."},
		{Name: "args", Type: String(), Help: `Dovecot's older form of the above: "username_format=%n /etc/users", or "uid=1000 gid=1000" for static.`},
	}
	rows = append(rows, results(kind)...)
	if kind == "passdb" {
		fields.Help = `Fields of every user, such as "proxy=yes", "host=10.0.0.5".`
		return append(rows, fields,
			Setting{Name: "master", Type: Bool(), Default: "no", For: "auth", Help: "Whether this block has the passwords of master users, who log in as others: as far as allow_users, allow_commands, allow_nets and allow_until in their entry say."},
			Setting{Name: "deny", Type: Bool(), Default: "no", For: "auth", Help: "Whether those who are in this source are let in nowhere."},
			Setting{Name: "pass", Type: Bool(), Default: "no", For: "auth", Help: "Dovecot's older form of result_success = continue."},
			Setting{Name: "mechanisms", Type: SomeOf(append(mechanismNames(), "lookup", "none")...), For: "auth", Help: "The block is used for these mechanisms only; lookup stands for questions without a password. Empty: for all."},
			Setting{Name: "scheme", Type: String(), Default: "CRYPT", For: "auth", Drivers: "passwd-file", Help: "Scheme of passwords that name none."},
			Setting{Name: "password", Type: String(), For: "auth", Drivers: "static", Secret: true, Help: "The password of everybody, as it is or as {SCHEME}hash. Never shown."},
			Setting{Name: "nopassword", Type: Bool(), Default: "no", For: "auth", Drivers: "static", Help: "Whether everybody is let in without a password."})
	}
	return append(rows, fields,
		Setting{Name: "allow_all_users", Type: Bool(), Default: "no", For: "auth", Drivers: "static", Help: "Whether every name is a user. Otherwise only names that a passdb knows."})
}

func serverBlock() *Block {
	return &Block{
		Kind: "doveadm_server", Label: "HOST or HOST:PORT",
		Help: "What the doveadm command is to know of another server, by the name or address that the passdb gives.",
		Rows: []Setting{
			{Name: "worker_count", Type: Count(0, 10000), Default: "0", Help: "Connections to it that are kept busy. 0: doveadm_worker_count."},
		},
	}
}

func namespaceBlock() *Block {
	return &Block{
		Kind: "namespace", Label: "NAME",
		Help: "A part of the tree of folders as IMAP clients see it. Without any there is one, without a prefix, that holds INBOX. It should be what the IMAP server on the same Maildirs has.",
		Rows: []Setting{
			{Name: "prefix", Type: String(), For: "lmtp-deliver doveadm-worker", Help: "How names of this namespace begin; ends with the separator."},
			{Name: "separator", Type: String(), For: "lmtp-deliver doveadm-worker", Help: "The character between the levels of a name. Empty: that of the layout, . for Maildir++ and / for fs."},
			{Name: "inbox", Type: Bool(), Default: "no", For: "lmtp-deliver doveadm-worker", Help: "Whether INBOX is here."},
		},
		Blocks: []*Block{{
			Kind: "mailbox", Label: "NAME", Help: "A folder of the namespace, its name without the prefix.",
			Rows: []Setting{
				{Name: "auto", Type: Word("no", "create", "subscribe"), Default: "no", For: "lmtp-deliver doveadm-worker", Help: "Whether it exists without having been made, and is subscribed to."},
				{Name: "special_use", Type: Word("", `\All`, `\Archive`, `\Drafts`, `\Flagged`, `\Important`, `\Junk`, `\Sent`, `\Trash`), For: "lmtp-deliver doveadm-worker", Help: `What it is for, such as "\\Trash".`},
			},
		}},
	}
}
