package settings

import "time"

//go:generate go run ./mkdoc ../../docs/culver.conf.5.md

// Root is the table: the top level, and all blocks below it.
func Root() *Block {
	return &Block{
		Rows: globals(),
		Blocks: []*Block{
			serviceBlock(),
			{Kind: "passdb", Label: "NAME", Rows: databaseRows("passdb"), Help: "A source of passwords. The name is free and unique; the order of first appearance is the order in which they are asked. They check the passwords of those who log in, and say who exists and where a user is proxied to."},
			{Kind: "userdb", Label: "NAME", Rows: databaseRows("userdb"), Help: "A source of users: who exists, with which uid, gid and home. Asked in the order of first appearance."},
			namespaceBlock(),
			serverBlock(),
		},
	}
}

// globals are the settings of the top level.
func globals() []Setting {
	var all []Setting
	for _, part := range [][]Setting{masterRows(), limitRows(), mailRows(), quotaRows(), lmtpRows(), doveadmRows(), networkRows(), authRows(), logRows()} {
		all = append(all, part...)
	}
	return all
}

func masterRows() []Setting {
	return []Setting{
		{Name: "base_dir", Type: Path(), Default: "/run/culver", Help: "Folder of the sockets and of the pid file. Relative listener paths hang here."},
		{Name: "libexec_dir", Type: Path(), Help: "Folder of the programs. Empty: the folder of the culver binary."},
		{Name: "protocols", Type: SomeOf("lmtp"), Default: "lmtp", Help: "A service with a protocol runs only if it is listed here."},
		{Name: "listen", Type: Addresses(), Default: "*\t::", Help: `Addresses of inet listeners that name none. "*" is all of IPv4, "::" all of IPv6.`},
		{Name: "default_internal_user", Type: AccountName(), Default: "culver", Help: "The account of services that have none of their own."},
		{Name: "default_internal_group", Type: AccountName(), Default: "culver", Help: "The group whose members may use internal sockets, such as the fronts that ask auth."},
		{Name: "sandbox", Type: Word("required", "best-effort", "off"), Default: "required", For: "lmtp lmtp-deliver doveadm-server doveadm-worker", Help: "Whether children must be boxed by Landlock and seccomp. With required the master does not start where that cannot be had."},
		{Name: "shutdown_timeout", Type: Time(0, time.Hour), Default: "30s", For: "lmtp lmtp-deliver doveadm-server doveadm-worker", Help: "On stop, how long running transactions may take to finish."},
	}
}

func limitRows() []Setting {
	return []Setting{
		{Name: "default_process_limit", Type: Count(1, 100000), Default: "100", Help: "process_limit of services that set none."},
		{Name: "default_client_limit", Type: Count(1, 1000000), Default: "4096", Help: "client_limit of services that set none."},
		{Name: "default_idle_kill", Type: Time(time.Second, 1000*time.Hour, "never"), Default: "60s", Help: "idle_kill of services that set none."},
		{Name: "default_vsz_limit", Type: Size(LeastVSZ, true), Default: "256M", Help: "vsz_limit of services that set none. 0 is no limit."},
		{Name: "first_valid_uid", Type: Count(0, maxID), For: "auth", Default: "500", Help: "A mail user with a lower uid is refused, whoever asks for it. uid 0 is always refused."},
		{Name: "last_valid_uid", Type: Count(0, maxID), For: "auth", Default: "0", Help: "A mail user with a higher uid is refused. 0 is no bound."},
		{Name: "first_valid_gid", Type: Count(0, maxID), For: "auth", Default: "1", Help: "As first_valid_uid, for groups. gid 0 is always refused."},
		{Name: "last_valid_gid", Type: Count(0, maxID), For: "auth", Default: "0", Help: "As last_valid_uid, for groups."},
		{Name: "worker_queue_limit", Type: Count(1, 1000000), Default: "2000", For: "lmtp doveadm-server", Help: "Deliveries and doveadm commands that may wait for a worker at one time. Beyond it the answer is 451 4.3.2, and 75 to a command. A front asks for nine tenths of it at one time; the others wait with it, first come first served."},
		{Name: "worker_queue_timeout", Type: Time(time.Second, 279*time.Second), Default: "60s", For: "lmtp doveadm-server", Help: "How long a delivery or doveadm command may wait for a worker before the answer is 451 4.3.2, or 75."},
	}
}

// LeastVSZ is the least vsz_limit: below it no worker starts, since one arena of
// a Go program's heap is that much of address space (master/internal/rootexec).
const LeastVSZ = 64 << 20

// maxID is the greatest uid; the one above means "none" to the kernel.
const maxID = 1<<32 - 2

func mailRows() []Setting {
	return []Setting{
		{Name: "mail_location", Type: String(), Help: `Where mail is, such as "maildir:%h/Maildir". A userdb field mail overrides it.`},
		{Name: "mail_root", Type: Path(), Help: "Folder that holds all mail of a single-uid site. Required where a worker may serve several users."},
		{Name: "mail_home_create", Type: Bool(), Default: "yes", Help: "Whether a missing home or Maildir is made, 0700, when its parent exists."},
		{Name: "mail_mount_marker", Type: FileName(), Help: "A file that must exist in the folder above the homes (or in mail_root). While it is absent mail waits: a mount is missing."},
		{Name: "mail_open_timeout", Type: Time(time.Second, 270*time.Second), Default: "10s", Help: "How long opening a user's paths may take. A dead file server then costs this user only."},
		{Name: "mail_access_groups", Type: Words("groups", nil), Help: "Supplementary groups of every worker."},
		{Name: "system_groups", Type: Bool(), Default: "no", Help: "Whether a worker also gets the groups that the system's account has."},
		{Name: "mail_fsync", Type: Word("always", "optimized", "never"), Default: "optimized", For: "lmtp-deliver doveadm-worker", Own: true, Help: "When to sync. In always and optimized both file and folder are on disk before a delivery is confirmed."},
		{Name: "mail_save_crlf", Type: Bool(), Default: "no", For: "lmtp-deliver doveadm-worker", Own: true, Help: "Whether files keep CRLF line ends."},
		{Name: "mail_temp_scan_interval", Type: Anytime(), Default: "1w", For: "lmtp-deliver doveadm-worker", Own: true, Help: "How often old files in tmp/ are cleaned. 0 is never."},
		{Name: "mail_max_size", Type: Size(0, true), Default: "100M", For: "lmtp", Help: "Largest message taken. 0 is no limit."},
	}
}

func quotaRows() []Setting {
	return []Setting{
		{Name: "quota_rule", Type: List("quota rules", quotaRule), For: "lmtp-deliver doveadm-worker", Own: true, Help: `Limits, such as "*:storage=1G", "*:messages=1000", "Trash:storage=+100M", "Spam:ignore". A userdb field quota_rule overrides them.`},
		{Name: "quota_grace", Type: grace(), Default: "10%", For: "lmtp-deliver doveadm-worker", Own: true, Help: "By how much the last message may exceed the limit: a share of it, or a size."},
		{Name: "quota_full_tempfail", Type: Bool(), Default: "no", For: "lmtp-deliver doveadm-worker", Own: true, Help: "Whether a full mailbox is answered by 452 (the MTA tries again) and not by 552."},
		{Name: "quota_enforce", Type: Word("maildirsize", "none"), Default: "maildirsize", For: "lmtp-deliver doveadm-worker", Help: "Whether the Maildir++ file maildirsize is kept and enforced."},
	}
}

func lmtpRows() []Setting {
	return []Setting{
		{Name: "hostname", Type: String(), For: "lmtp lmtp-deliver doveadm-server doveadm-worker", Help: "Our name in greetings and Received headers. Empty: the host's full name."},
		{Name: "login_greeting", Type: String(), Default: "Culver ready.", For: "lmtp lmtp-deliver", Help: "Text of the greeting."},
		{Name: "recipient_delimiter", Type: String(), Default: "+", For: "lmtp lmtp-deliver", Help: "Characters that separate a user name from a detail, as in user+detail@domain. Empty: none."},
		{Name: "lmtp_save_to_detail_mailbox", Type: Bool(), Default: "no", For: "lmtp lmtp-deliver", Own: true, Help: "Whether mail to user+Folder goes into Folder."},
		{Name: "lmtp_hdr_delivery_address", Type: Word("final", "original", "none"), Default: "final", For: "lmtp lmtp-deliver", Help: "The address that Delivered-To shows."},
		{Name: "lmtp_add_received_header", Type: Bool(), Default: "yes", For: "lmtp lmtp-deliver", Help: "Whether a Received header is added."},
		{Name: "lmtp_rcpt_check_quota", Type: Bool(), Default: "no", For: "lmtp lmtp-deliver", Help: "Whether quota is looked at already at RCPT TO, by a worker of its own. Otherwise at the save."},
		{Name: "lmtp_verbose_replies", Type: Bool(), Default: "no", For: "lmtp lmtp-deliver", Help: "Whether replies tell the client more than the class of an error."},
		{Name: "lmtp_reproxy", Type: Word("always", "uid-differs"), Default: "always", For: "lmtp", Help: "always: every recipient's copy is written by a worker of its own. uid-differs: the front itself delivers to users whose uid is its own. Such a delivery is no process: where it hangs on a dead file server nothing can kill it, and it keeps its place below process_limit and lmtp_user_concurrency_limit."},
		{Name: "lmtp_user_concurrency_limit", Type: Count(0, 100000), Default: "10", For: "lmtp", Help: "Deliveries to one user at one time. 0 is no limit."},
		{Name: "lmtp_max_recipients", Type: Count(1, 100000), Default: "1000", For: "lmtp", Help: "Recipients of one message."},
		{Name: "lmtp_max_bad_commands", Type: Count(1, 10000), Default: "10", For: "lmtp", Help: "Bad commands after which a session ends."},
		{Name: "lmtp_command_timeout", Type: Time(time.Second, 24*time.Hour), Default: "300s", For: "lmtp", Help: "How long a client may be silent. A command that is not complete a minute after that ends the session as well."},
		// Exim gives up 300 s after the end of the data and sends the message
		// again; below 280 s we are always the ones who decide.
		{Name: "lmtp_delivery_timeout", Type: Time(time.Second, 279*time.Second), Default: "270s", For: "lmtp lmtp-deliver", Help: "How long a delivery may take in all. Below 280s: MTAs wait 300s and would send the message twice."},
		{Name: "lmtp_proxy", Type: Bool(), Default: "no", For: "lmtp", Help: "Whether the passdb is asked at each RCPT, and recipients whose entry says proxy and host are handed on to that host by LMTP."},
		{Name: "lmtp_client_workarounds", Type: SomeOf("whitespace-before-path", "mailbox-for-path"), For: "lmtp", Help: "Faults of clients to bear with."},
		{Name: "lda_mailbox_autocreate", Type: Bool(), Default: "no", For: "lmtp-deliver", Own: true, Help: "Whether a missing folder is created by a delivery into it."},
		{Name: "lda_mailbox_autosubscribe", Type: Bool(), Default: "no", For: "lmtp-deliver", Own: true, Help: "Whether a folder so created is subscribed to."},
		{Name: "lda_original_recipient_header", Type: String(), For: "lmtp-deliver", Help: "Header that holds the original recipient, where the client does not tell it."},
		{Name: "deliver_log_format", Type: Template(deliverVariables), Default: "msgid=%m: %$", For: "lmtp-deliver", Own: true, Help: "Log line of a delivery. %$ is what was done, %m the Message-ID, %s the subject, %f the sender, %p and %w the size on disk and on the wire."},
		{Name: "spool_dir", Type: Path(), For: "lmtp", Help: "Folder for messages on their way that are too large for memory, 0700 and the front's own. Empty: spool in base_dir."},
		{Name: "spool_memory", Type: Size(0, true), Default: "128K", For: "lmtp", Help: "A message up to this size is kept in memory."},
		{Name: "spool_limit", Type: Size(4<<10, true), Default: "512M", For: "lmtp", Help: "All messages on their way together. Beyond it the answer is 452 4.3.1. 0 is no limit."},
	}
}

func doveadmRows() []Setting {
	return []Setting{
		{Name: "doveadm_socket_path", Type: BasePath(), Default: "doveadm-server", Help: "Where the doveadm command connects to unless -S says otherwise: a path, or HOST:PORT."},
		{Name: "doveadm_worker_count", Type: Count(0, 10000), Default: "0", Help: "Connections that one doveadm command keeps busy on each server, which is how many users are worked on at one time. 0: two for each core, at least 4."},
		{Name: "doveadm_port", Type: Count(0, 65535), Default: "0", Help: "Several hosts: the port of their doveadm services. The passdb is then asked where each user is, and one whose entry says proxy and host is worked on there. 0: everybody is on the server of doveadm_socket_path."},
		{Name: "doveadm_ssl", Type: Word("no", "ssl", "starttls"), Default: "no", Help: "Whether connections of the doveadm command to HOST:PORT are protected: by TLS from the first byte, or by STARTTLS. The passdb's ssl and starttls overrule it for a user."},
		{Name: "doveadm_send_password_in_clear", Type: Bool(), Default: "no", Help: "Whether the doveadm command may send its password without TLS to another host, for all on the way to read. To this host's own addresses it always may."},
		{Name: "doveadm_username", Type: String(), Default: "doveadm", For: "doveadm-server auth", Help: "The name that goes with the password of doveadm_password_file."},
		{Name: "doveadm_password_file", Type: Path(), Help: "A file whose first line is the password for administration over the network. It is root's and readable by nobody else; auth alone is told. Who knows it reaches everybody's mail. Empty: only master users can log in there."},
		{Name: "doveadm_allowed_commands", Type: List("commands", doveadmCommand), For: "doveadm-server auth", Help: `What clients may run, such as "search", "mailbox list". Empty: everything.`},
		{Name: "doveadm_worker_timeout", Type: Time(time.Second, 24*time.Hour), Default: "2m", For: "doveadm-server doveadm-worker", Help: "How long a worker may give no sign of work before it is ended. A working one gives a sign every second."},
		{Name: "doveadm_command_timeout", Type: Time(time.Second, 1000*time.Hour), Default: "1h", For: "doveadm-server doveadm-worker", Help: "How long one command may take for one user. Its worker is killed then."},
		{Name: "doveadm_auth_timeout", Type: Time(time.Second, time.Hour), Default: "30s", For: "doveadm-server", Help: "How long a client may take to say who it is."},
	}
}

func networkRows() []Setting {
	return []Setting{
		{Name: "login_trusted_networks", Type: Networks(), For: "lmtp", Help: "Peers that may tell whom they speak for (XCLIENT)."},
		{Name: "haproxy_trusted_networks", Type: Networks(), For: "lmtp", Help: "Peers that may send a PROXY header, on listeners with haproxy = yes."},
		{Name: "haproxy_timeout", Type: Time(time.Second, time.Hour), Default: "3s", For: "lmtp", Help: "How long such a peer may take to send it."},
		{Name: "ssl", Type: Word("yes", "no", "required"), Default: "no", For: "lmtp doveadm-server", Help: "Whether TLS is offered, or demanded before mail and before doveadm's password. With no, inet listeners with ssl = yes are left out."},
		{Name: "ssl_cert", Type: Path(), Help: "PEM file with the certificate and those above it. The master reads it; it may be root's alone."},
		{Name: "ssl_key", Type: Path(), Help: "PEM file with the key, readable by root alone."},
		{Name: "ssl_client_ca_file", Type: Path(), Help: "PEM file with the authorities whose certificates count where Culver itself connects by TLS. Empty: /etc/ssl/certs/ca-certificates.crt, or that of the system's other usual places."},
		{Name: "ssl_min_protocol", Type: Word("TLSv1.2", "TLSv1.3"), Default: "TLSv1.2", For: "lmtp doveadm-server", Help: "Oldest version of TLS spoken."},
	}
}

func authRows() []Setting {
	return []Setting{
		{Name: "auth_socket_path", Type: BasePath(), Default: "auth-userdb", For: "lmtp doveadm-server", Help: "The socket where users are looked up. It may be another server's."},
		{Name: "auth_mechanisms", Type: SomeOf(mechanismNames()...), Default: "plain\tlogin", For: "auth", Help: "SASL mechanisms that are offered, in this order. One that no passdb can serve is a fault of the configuration."},
		{Name: "auth_username_format", Type: UserTemplate(), Default: "%Lu", For: "auth", Help: "How a name becomes the user's name: %Lu is the whole of it in lower case, %n the part before the @."},
		{Name: "auth_username_chars", Type: String(), Default: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@", For: "auth", Help: "Characters that a user name may hold. Empty: all."},
		{Name: "auth_username_translation", Type: translation(), For: "auth", Help: "Characters that are replaced in a name once it has its domain, in pairs: \"#@/@\" makes @ of # and of /."},
		{Name: "auth_default_realm", Type: String(), For: "auth", Help: "Domain of names without one."},
		{Name: "auth_master_user_separator", Type: separator(), For: "auth", Help: "The character between the user and the master user in the name of a login, as in user*admin. Empty: master users log in by SASL's authorization identity only."},
		{Name: "auth_anonymous_username", Type: String(), Default: "anonymous", For: "auth", Help: "Who a client is that logs in by ANONYMOUS."},
		{Name: "auth_allow_cleartext", Type: Bool(), Default: "yes", For: "auth", Help: "Whether PLAIN, LOGIN and other mechanisms that show the password to whoever listens are taken from clients that do not say that their line is protected."},
		{Name: "auth_allow_weak_schemes", Type: Bool(), Default: "no", For: "auth", Help: "Whether stored passwords count whose hash is easily undone, such as MD5 and DES. With no they are a temporary failure, which the log explains."},
		{Name: "auth_ssl_username_from_cert", Type: Bool(), Default: "no", For: "auth", Help: "Whether the name in a verified client certificate is the user's, as EXTERNAL needs it. A name given beside it must be the same."},
		{Name: "auth_ssl_require_client_cert", Type: Bool(), Default: "no", For: "auth", Help: "Whether nobody logs in without a verified client certificate."},
		{Name: "auth_failure_delay", Type: Time(0, 8*time.Second), Default: "2s", For: "auth", Help: "How long the answer to a wrong password waits. 8s at most: Postfix gives up after 10s."},
		{Name: "auth_penalty", Type: Bool(), Default: "yes", For: "auth", Help: "Whether wrong passwords make the next attempts from there slower; the service anvil keeps count."},
		{Name: "auth_verbose", Type: Bool(), Default: "no", For: "auth", Help: "Whether each failed login is logged, with user, address and reason. A password never is."},
		{Name: "auth_cache_size", Type: Size(4<<10, true), Default: "10M", For: "auth", Help: "Memory for answers of passdbs and userdbs that are not in memory anyway, as those of passwd-file, passwd, shadow and static are. 0 is no cache."},
		{Name: "auth_cache_ttl", Type: Time(time.Second, 1000*time.Hour), Default: "1h", For: "auth", Help: "How long such an answer holds."},
		{Name: "auth_cache_negative_ttl", Type: Time(0, 1000*time.Hour), Default: "1m", For: "auth", Help: "How long the answer holds that there is no such user. 0 is not at all."},
		{Name: "auth_cache_stale_ttl", Type: Time(0, 1000*time.Hour), Default: "24h", For: "auth", Help: "How long an answer still serves deliveries of mail while its source is away, after auth_cache_ttl. 0 is not at all."},
		{Name: "auth_lookup_timeout", Type: Time(time.Second, 270*time.Second), Default: "30s", For: "lmtp auth lmtp-deliver doveadm-server", Help: "How long a lookup may take before it is a temporary failure."},
	}
}

func logRows() []Setting {
	return []Setting{
		{Name: "log_path", Type: LogPath(false), Default: "syslog", For: "log", Help: "Where log lines go: syslog, stderr or a file."},
		{Name: "info_log_path", Type: LogPath(true), For: "log", Help: "Where lines of level info go. Empty: as log_path."},
		{Name: "debug_log_path", Type: LogPath(true), For: "log", Help: "Where lines of level debug go. Empty: as info_log_path."},
		{Name: "audit_log_path", Type: LogPath(true), For: "log", Help: "Where it is recorded who used the mail of another user, and who was refused that. Empty: as info_log_path."},
		{Name: "syslog_facility", Type: Word("mail", "daemon", "user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"), Default: "mail", For: "log", Help: "Facility of lines to syslog."},
		{Name: "log_timestamp", Type: String(), Default: "%b %d %H:%M:%S ", For: "log", Help: "Time before each line in a file, in the form of strftime."},
		{Name: "log_debug", Type: Bool(), Default: "no", For: "log auth lmtp lmtp-deliver doveadm-server doveadm-worker", Help: "Whether lines of level debug are written at all."},
	}
}

// UserRows are the settings that a userdb field of the same name overrides for
// its user.
func UserRows() map[string]Setting {
	own := map[string]Setting{}
	for _, row := range globals() {
		if row.Own {
			own[row.Name] = row
		}
	}
	return own
}
