package command

//go:generate go run ./mkdoc ../../../docs/culver-doveadm.1.md

// What every per-user command has before its own options, in this order on the
// wire.
var userOptions = []Option{
	{Letter: 'A', Long: "all-users", Local: true, Help: "for every user"},
	{Letter: 'S', Long: "socket-path", Value: "socket", Local: true, Help: "the server: a path with a slash, or HOST[:PORT]"},
	{Letter: 'u', Long: "user", Value: "user", Help: "for this user, or for those whose name the mask matches (* and ?)"},
	{Letter: 'F', Long: "user-file", Value: "file", Local: true, Help: "for the users in this file, one a line; - is standard input"},
}

// What a run over users has; the client keeps all of it to itself.
var runOptions = []Option{
	{Long: "ordered", Local: true, Help: "print users in the order of the list, not as they finish"},
	{Long: "failed-file", Value: "file", Local: true, Help: "write the users that failed, for a later -F"},
	{Long: "journal", Value: "file", Local: true, Help: "note each user done, so that doveadm resume can go on"},
	{Long: "progress", Value: "form", Local: true, Help: "how progress is shown on standard error: auto, none or ndjson"},
}

// Who the client is to servers; apply and resume have them too. The password is
// never one of them: everybody on the host can read a command line.
var loginOptions = []Option{
	{Long: "as", Value: "name", Local: true, Help: "log in as this master user, and do what it may"},
	{Long: "password-file", Value: "file", Local: true, Help: "its first line is the password; mode 0600"},
	{Long: "password-command", Value: "command", Local: true, Help: "the first line that this prints is the password"},
}

var (
	dryRun        = Option{Long: "dry-run", Help: "change nothing; print what would be done"}
	ifUIDValidity = Option{Long: "if-uidvalidity", Value: "number", Help: "do nothing unless the mailbox has this UIDVALIDITY"}
	plan          = Option{Long: "plan", Value: "file", Local: true, Help: "with --dry-run: write what doveadm apply will do"}
)

// Shapes that many commands share.
var (
	query      = Arg{Name: "query", Many: true, Help: "which messages, see SEARCH QUERIES"}
	sourceUser = Arg{Name: "source-user", Keyword: "user", Help: "take the messages from this user"}
	names      = Arg{Name: "mailbox", Many: true, Help: "the name, in UTF-8"}
	masks      = Arg{Name: "mask", Many: true, Help: "mailboxes, with * and %"}
	userMasks  = Arg{Name: "user", Many: true, Help: "names, or masks with * and ?"}

	masterSocket = Option{Letter: 'a', Long: "socket-path", Value: "socket", Help: "the master's control socket"}
	anvilSocket  = Option{Letter: 'a', Long: "socket-path", Value: "socket", Help: "anvil's socket"}
	authSocket   = Option{Letter: 'a', Long: "socket-path", Value: "socket", Help: "the auth service's socket"}
	authInfo     = Option{Letter: 'x', Long: "auth-info", Value: "key=value", Help: "what is known of the client: service, lip, rip, lport, rport"}
)

var table = []Spec{
	// Messages.
	{
		Name: "apply", PerUser: false, Servers: true, Formatter: "flow",
		Options: []Option{
			{Letter: 'S', Long: "socket-path", Value: "socket", Local: true, Help: "the server: a path with a slash, or HOST[:PORT]"},
			{Long: "failed-file", Value: "file", Local: true, Help: "write the users that failed"},
			{Long: "journal", Value: "file", Local: true, Help: "note each user done, so that doveadm resume can go on"},
			{Long: "progress", Value: "form", Local: true, Help: "how progress is shown on standard error: auto, none or ndjson"},
		},
		Args: []Arg{{Name: "plan", Help: "a file that --dry-run --plan wrote"}},
		Help: "do exactly what a plan says",
		Long: "A mailbox whose UIDVALIDITY is not the plan's is left as it is, and its user fails with 65. Messages that came after the plan are not touched.",
	},
	{
		Name: "batch", PerUser: true, Ordered: true, Formatter: "flow",
		Args: []Arg{
			{Name: "separator", Help: "a word that parts the commands"},
			{Name: "commands", Many: true, Help: "commands with their arguments"},
		},
		Help: "several commands for each user, in one process",
		Long: "A row holds the columns of all commands, one after the other.",
	},
	{
		Name: "copy", PerUser: true, Writes: true,
		Args: []Arg{{Name: "destination", Help: "a mailbox of the user given by -u"}, sourceUser, query},
		Help: "copy messages into a mailbox",
	},
	{
		Name: "deduplicate", PerUser: true, Writes: true,
		Options: []Option{{Letter: 'm', Long: "by-msgid", Help: "by Message-ID, not by GUID"}},
		Args:    []Arg{query},
		Help:    "expunge the second and later copies of a message in each mailbox",
	},
	{
		Name: "expunge", PerUser: true, Writes: true, Guarded: true,
		Options: []Option{{Letter: 'd', Long: "delete-empty-mailbox", Help: "and the mailbox, if it is empty then"}},
		Args:    []Arg{query},
		Help:    "remove messages",
		Long:    "The query must name a mailbox in every branch, and something besides mailboxes.",
	},
	{
		Name: "fetch", PerUser: true, Formatter: "pager",
		Args: []Arg{{Name: "fields", Help: "one argument, fields separated by spaces, see FETCH FIELDS"}, query},
		Help: "print fields of messages",
	},
	{
		Name: "flags add", PerUser: true, Writes: true,
		Args: []Arg{{Name: "flags", Help: `one argument: \Answered \Flagged \Deleted \Seen \Draft, keywords`}, query},
		Help: "add flags and keywords to messages",
	},
	{
		Name: "flags remove", PerUser: true, Writes: true,
		Args: []Arg{{Name: "flags", Help: "as for flags add"}, query},
		Help: "remove flags and keywords from messages",
	},
	{
		Name: "flags replace", PerUser: true, Writes: true,
		Args: []Arg{{Name: "flags", Help: "as for flags add"}, query},
		Help: "give messages these flags and keywords and no others",
	},
	{
		Name: "force-resync", PerUser: true, Writes: true,
		Options: []Option{{Letter: 'f', Long: "fsck", Help: "accepted; a resync is always complete"}},
		Args:    []Arg{{Name: "mask", Help: "mailboxes, with * and %"}},
		Help:    "read mailboxes anew and mend their records",
	},
	{
		Name: "import", PerUser: true, Writes: true,
		Options: []Option{
			{Letter: 'U', Long: "source-user", Value: "user", Help: "whose the source is"},
			{Letter: 's', Long: "subscribe", Help: "subscribe to the mailboxes"},
		},
		Args: []Arg{
			{Name: "source", Help: "a mail location, maildir:PATH"},
			{Name: "parent", Help: "the mailbox to import below, or an empty word"},
			query,
		},
		Help: "copy messages from another mail location, creating mailboxes",
	},
	{
		Name: "index", PerUser: true,
		Options: []Option{
			{Letter: 'q', Long: "queue", Help: "accepted"},
			{Letter: 'n', Long: "max-recent", Value: "number", Help: "accepted"},
		},
		Args: []Arg{{Name: "mask", Help: "mailboxes, with * and %"}},
		Help: "bring the records of mailboxes up to date",
	},
	{
		Name: "move", PerUser: true, Writes: true, Guarded: true,
		Args: []Arg{{Name: "destination", Help: "a mailbox of the user given by -u"}, sourceUser, query},
		Help: "move messages into a mailbox",
		Long: "The query must name a mailbox in every branch, and something besides mailboxes.",
	},
	{
		Name: "purge", PerUser: true,
		Help: "free the room of expunged messages: a Maildir has none to free",
	},
	{
		Name: "resume", Servers: true, Formatter: "flow",
		Options: []Option{
			{Letter: 'S', Long: "socket-path", Value: "socket", Local: true, Help: "the server, if it is another one now"},
			{Long: "failed-file", Value: "file", Local: true, Help: "write the users that failed"},
			{Long: "progress", Value: "form", Local: true, Help: "how progress is shown on standard error: auto, none or ndjson"},
		},
		Args: []Arg{{Name: "journal", Help: "a file that --journal wrote"}},
		Help: "go on with a run that was interrupted",
	},
	{
		Name: "save", PerUser: true, Writes: true, Input: true,
		Options: []Option{
			{Letter: 'm', Long: "mailbox", Value: "mailbox", Help: "where, INBOX unless given"},
			{Letter: 'U', Long: "uid", Value: "uid", Minor: 3, Help: "with this UID"},
			{Letter: 'g', Long: "guid", Value: "guid", Minor: 3, Help: "with this GUID"},
			{Letter: 'r', Long: "received-date", Value: "date", Minor: 3, Help: "with this received date"},
		},
		Args: []Arg{{Name: "file", Optional: true, Local: true, Help: "the message; standard input unless given"}},
		Help: "save one message",
	},
	{
		Name: "search", PerUser: true, Formatter: "flow",
		Args: []Arg{query},
		Cols: []Column{
			{Key: "mailbox-guid", Title: "mailbox-guid", Hide: true},
			{Key: "uid", Title: "uid", Hide: true, Number: true},
		},
		Help: "list messages by mailbox GUID and UID",
	},

	// Mailboxes.
	{
		Name: "mailbox create", PerUser: true, Writes: true,
		Options: []Option{
			{Letter: 's', Long: "subscriptions", Help: "and subscribe to it"},
			{Letter: 'g', Long: "guid", Value: "guid", Help: "with this GUID"},
		},
		Args: []Arg{names},
		Help: "create mailboxes",
	},
	{
		Name: "mailbox delete", PerUser: true, Writes: true,
		Options: []Option{
			{Letter: 'e', Long: "require-empty", Help: "only if empty"},
			{Letter: 's', Long: "subscriptions", Help: "and unsubscribe"},
			{Letter: 'r', Long: "recursive", Help: "and those below, first"},
			{Letter: 'Z', Long: "unsafe", Help: "accepted; deletion is never unsafe"},
		},
		Args: []Arg{names},
		Help: "delete mailboxes with their messages",
	},
	{
		Name: "mailbox list", PerUser: true, Formatter: "flow",
		Options: []Option{
			{Letter: '7', Long: "mutf7", Help: "print and read names in modified UTF-7"},
			{Letter: '8', Long: "utf8", Help: "print and read names in UTF-8, as always"},
			{Letter: 's', Long: "subscriptions", Help: "subscribed ones only"},
		},
		Args: []Arg{{Name: "mask", Many: true, Optional: true, Help: "mailboxes, with * and %"}},
		Cols: []Column{{Key: "mailbox", Title: "mailbox", Hide: true}},
		Help: "list mailboxes",
	},
	{
		Name: "mailbox mutf7", Offline: true,
		Options: []Option{
			{Letter: '7', Long: "to-utf8", Help: "from modified UTF-7 to UTF-8"},
			{Letter: '8', Long: "from-utf8", Help: "from UTF-8 to modified UTF-7, as always"},
		},
		Args: []Arg{{Name: "name", Many: true, Help: "mailbox names"}},
		Help: "convert mailbox names to or from modified UTF-7",
	},
	{
		Name: "mailbox path", PerUser: true, Formatter: "flow",
		Options: []Option{{Letter: 't', Long: "type", Value: "type", Help: "dir, mailbox, control or index (default); alt-dir, alt-mailbox and index-private print nothing"}},
		Args:    []Arg{names},
		Cols:    []Column{{Key: "path", Title: "path", Hide: true}},
		Help:    "print where a mailbox lies",
	},
	{
		Name: "mailbox rename", PerUser: true, Writes: true,
		Options: []Option{{Letter: 's', Long: "subscriptions", Help: "and move the subscription"}},
		Args:    []Arg{{Name: "old", Help: "its name"}, {Name: "new", Help: "its name to be"}},
		Help:    "rename a mailbox and those below it",
	},
	{
		Name: "mailbox status", PerUser: true, Formatter: "flow",
		Options: []Option{{Letter: 't', Long: "total-sum", Help: "one row, the sum"}},
		Args: []Arg{
			{Name: "fields", Help: "one argument: all, or some of messages recent uidnext uidvalidity unseen highestmodseq vsize guid firstsaved"},
			masks,
		},
		Help: "print counters of mailboxes",
	},
	{
		Name: "mailbox subscribe", PerUser: true, Writes: true,
		Args: []Arg{names},
		Help: "subscribe to mailboxes",
	},
	{
		Name: "mailbox unsubscribe", PerUser: true, Writes: true,
		Args: []Arg{names},
		Help: "unsubscribe from mailboxes",
	},
	{
		Name: "mailbox update", PerUser: true, Writes: true,
		Options: []Option{
			{Letter: 'g', Long: "mailbox-guid", Value: "guid", Help: "its GUID"},
			{Letter: 'V', Long: "uid-validity", Value: "number", Help: "its UIDVALIDITY"},
			{Letter: 'N', Long: "min-next-uid", Value: "uid", Help: "the next UID is at least this"},
			{Letter: 'R', Long: "min-first-recent-uid", Value: "uid", Help: "accepted; no message is recent here"},
			{Letter: 'H', Long: "min-highest-modseq", Value: "number", Help: "accepted; lives in Dovecot's index only"},
			{Letter: 'P', Long: "min-highest-pvt-modseq", Value: "number", Help: "accepted; lives in Dovecot's index only"},
		},
		Args: []Arg{{Name: "mailbox", Help: "the name, in UTF-8"}},
		Help: "change a mailbox's GUID, UIDVALIDITY or next UID",
	},

	// Quota.
	{
		Name: "quota get", PerUser: true, Formatter: "table",
		Cols: []Column{
			{Key: "root", Title: "Quota name"},
			{Key: "type", Title: "Type"},
			{Key: "value", Title: "Value", Right: true, Number: true},
			{Key: "limit", Title: "Limit", Right: true, Number: true},
			{Key: "percent", Title: "%", Right: true, Number: true},
		},
		Help: "print use and limits",
	},
	{
		Name: "quota recalc", PerUser: true,
		Help: "count anew what the mailboxes hold",
	},

	// Users and passwords.
	{
		Name:    "auth cache flush",
		Options: []Option{{Letter: 'a', Long: "socket-path", Value: "socket", Help: "the auth service's socket"}},
		Args:    []Arg{{Name: "user", Many: true, Optional: true, Help: "only these users' entries"}},
		Help:    "forget what auth has remembered",
	},
	{
		Name: "auth cache status", Formatter: "tab",
		Options: []Option{{Letter: 'a', Long: "socket-path", Value: "socket", Help: "the auth service's socket"}},
		Cols:    []Column{{Key: "field", Title: "field"}, {Key: "value", Title: "value"}},
		Help:    "print what auth's cache holds and how often it knew",
	},
	{
		Name: "auth login",
		Options: []Option{
			authSocket,
			{Letter: 'm', Long: "auth-login-socket-path", Value: "socket", Help: "the socket that answers for a login"},
			authInfo,
			{Letter: 'M', Long: "master-user", Value: "user", Help: "log in as this master user"},
		},
		Args: []Arg{{Name: "user", Help: "whose password it is"}, {Name: "password", Optional: true, Help: "asked for unless given"}},
		Help: "try a password and print what a login would get",
	},
	{
		Name: "auth lookup",
		Options: []Option{
			authSocket,
			authInfo,
			{Letter: 'f', Long: "field", Value: "field", Help: "print this field only"},
		},
		Args: []Arg{{Name: "user", Many: true, Help: "names"}},
		Help: "print what the password database says of a user",
	},
	{
		Name: "auth test",
		Options: []Option{
			authSocket,
			authInfo,
			{Letter: 'M', Long: "master-user", Value: "user", Help: "log in as this master user"},
		},
		Args: []Arg{{Name: "user", Help: "whose password it is"}, {Name: "password", Optional: true, Help: "asked for unless given"}},
		Help: "try a password",
	},
	{
		Name: "pw", Offline: true,
		Options: []Option{
			{Letter: 'l', Long: "list", Help: "list the schemes"},
			{Letter: 'p', Long: "plaintext", Value: "password", Help: "the password, for all to see in the list of processes; asked for unless given"},
			{Letter: 'r', Long: "rounds", Value: "number", Help: "how much work the hash is to be"},
			{Letter: 's', Long: "scheme", Value: "scheme", Help: "the scheme, ARGON2ID unless given; .hex or .b64 behind its name is the encoding"},
			{Letter: 't', Long: "test-hash", Value: "hash", Help: "say whether the password has this hash"},
			{Letter: 'u', Long: "user", Value: "user", Help: "the user, for schemes that need one"},
			{Letter: 'V', Long: "verify", Help: "check the new hash before it is printed"},
		},
		Help: "hash a password, or test one",
	},
	{
		Name: "user", Formatter: "tab",
		Options: []Option{
			authSocket,
			authInfo,
			{Letter: 'f', Long: "field", Value: "field", Help: "print this field only"},
			{Letter: 'e', Long: "expand-field", Value: "template", Help: "print this, with variables such as %{user}"},
			{Letter: 'u', Long: "userdb-only", Help: "print what the user database says, and nothing that settings add"},
		},
		Args: []Arg{userMasks},
		Cols: []Column{{Key: "field", Title: "field"}, {Key: "value", Title: "value"}},
		Help: "print a user's fields, or the names that a mask matches",
	},

	// The system.
	{
		Name: "completion", Offline: true,
		Args: []Arg{{Name: "shell", Help: "bash, zsh or fish"}},
		Help: "print what makes a shell complete doveadm's commands",
	},
	{
		Name: "config", Offline: true, Bare: true,
		Args: []Arg{{Name: "arguments", Many: true, Optional: true, Help: "-a for all settings"}},
		Help: "print the settings",
	},
	{
		Name: "help", Offline: true, Bare: true,
		Args: []Arg{{Name: "command", Many: true, Optional: true, Help: "its words"}},
		Help: "list the commands, or explain one",
	},
	{
		Name: "kick",
		Options: []Option{
			masterSocket,
			{Letter: 'f', Long: "force", Help: "accepted; a session never shares its process"},
		},
		Args: []Arg{{Name: "mask", Many: true, Help: "users, with * and ?, or a network as IP/BITS"}},
		Help: "end the sessions of users",
	},
	{
		Name: "log find", Offline: true,
		Args: []Arg{{Name: "directory", Optional: true, Help: "look for syslog's files here"}},
		Help: "print where messages of each level go",
	},
	{
		Name:    "log reopen",
		Options: []Option{masterSocket},
		Help:    "open the log files again, after they were moved",
	},
	{
		Name: "log test",
		Help: "write one message of each level",
	},
	{
		Name: "penalty", Formatter: "table",
		Options: []Option{anvilSocket},
		Args:    []Arg{{Name: "network", Optional: true, Help: "only those from here: an address, or IP/BITS"}},
		Cols: []Column{
			{Key: "ip", Title: "IP"},
			{Key: "penalty", Title: "penalty", Number: true},
			{Key: "last_penalty", Title: "last_penalty"},
			{Key: "last_update", Title: "last_update"},
			{Key: "user", Title: "user"},
		},
		Help: "print who is slowed down after wrong passwords",
		Long: "A penalty is how many different wrong passwords count against a user's name from an address (for IPv6 a network of 48 bits). Each is forgotten after a minute. From the second on the answer is delayed, from the tenth on it is a refusal; other users and other addresses notice nothing, nor does a user who has logged in from there in the last day. An address whose count has no user has tried more than 64 names; an address - is a client's that told none.",
	},
	{
		Name:    "penalty clear",
		Options: []Option{anvilSocket},
		Args: []Arg{
			{Name: "network", Help: "those from here: an address, IP/BITS, or the word all"},
			{Name: "user", Optional: true, Help: "only against this user's name"},
		},
		Help: "forget wrong passwords",
	},
	{
		Name: "process status", Formatter: "table",
		Options: []Option{masterSocket},
		Args:    []Arg{{Name: "service", Many: true, Optional: true, Help: "only these services"}},
		Cols: []Column{
			{Key: "name", Title: "name"},
			{Key: "pid", Title: "pid", Number: true},
			{Key: "available_count", Title: "available_count", Number: true},
			{Key: "total_count", Title: "total_count", Number: true},
			{Key: "idle_start", Title: "idle_start", Number: true},
			{Key: "last_status_update", Title: "last_status_update", Number: true},
			{Key: "last_kill_sent", Title: "last_kill_sent", Number: true},
		},
		Help: "print the processes of services",
	},
	{
		Name:    "reload",
		Options: []Option{masterSocket},
		Help:    "read the configuration again",
	},
	{
		Name: "service status", Formatter: "pager",
		Options: []Option{masterSocket},
		Args:    []Arg{{Name: "service", Many: true, Optional: true, Help: "only these services"}},
		Cols: []Column{
			{Key: "name", Title: "name"},
			{Key: "process_count", Title: "process_count", Number: true},
			{Key: "process_avail", Title: "process_avail", Number: true},
			{Key: "process_limit", Title: "process_limit", Number: true},
			{Key: "client_limit", Title: "client_limit", Number: true},
			{Key: "throttle_secs", Title: "throttle_secs", Number: true},
			{Key: "exit_failure_last", Title: "exit_failure_last", Number: true},
			{Key: "exit_failures_in_sec", Title: "exit_failures_in_sec", Number: true},
			{Key: "last_drop_warning", Title: "last_drop_warning", Number: true},
			{Key: "listen_pending", Title: "listen_pending"},
			{Key: "listening", Title: "listening"},
			{Key: "doveadm_stop", Title: "doveadm_stop"},
			{Key: "process_total", Title: "process_total", Number: true},
		},
		Help: "print the state of services",
	},
	{
		Name:    "service stop",
		Options: []Option{masterSocket},
		Args:    []Arg{{Name: "service", Many: true, Help: "services"}},
		Help:    "stop services until the next reload",
	},
	{
		Name:    "stop",
		Options: []Option{masterSocket},
		Help:    "stop the system",
	},
	{
		Name: "who", Formatter: "table",
		Options: []Option{
			masterSocket,
			{Letter: '1', Long: "separate-connections", Help: "a row for each session"},
		},
		Args: []Arg{{Name: "mask", Many: true, Optional: true, Help: "users, with * and ?, or a network as IP/BITS"}},
		Cols: []Column{
			{Key: "username", Title: "username"},
			{Key: "connections", Title: "#", Number: true},
			{Key: "service", Title: "proto"},
			{Key: "pids", Title: "(pids)"},
			{Key: "ips", Title: "(ips)"},
		},
		Help: "print who is connected",
	},
}

var whoSeparate = []Column{
	{Key: "username", Title: "username"},
	{Key: "service", Title: "proto"},
	{Key: "pid", Title: "pid", Number: true},
	{Key: "ip", Title: "ip"},
}
