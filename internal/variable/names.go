package variable

import (
	"slices"
	"strings"
)

// short forms of the names.
var short = map[byte]string{
	'u': "user", 'n': "username", 'd': "domain", 's': "service",
	'l': "lip", 'r': "rip", 'a': "lport", 'b': "rport",
	'm': "mech", 'c': "secured", 'k': "cert", 'p': "pid",
}

// letters of the short forms, in the order in which they are named to people.
const letters = "undslrabmckp"

// names are the long ones, with their aliases: 2.3's and 2.4's words.
var names = strings.Fields(`user username domain domain_first domain_last
	service protocol lip local_ip rip remote_ip lport local_port rport remote_port
	real_lip real_local_ip real_rip real_remote_ip real_lport real_local_port real_rport real_remote_port
	mech mechanism secured cert pid client_pid session local_name client_id
	login_user login_username login_domain login_domain_first login_domain_last
	orig_user orig_username orig_domain orig_domain_first orig_domain_last
	original_user original_username original_domain original_domain_first original_domain_last
	auth_user auth_username auth_domain auth_domain_first auth_domain_last
	master_user hostname system:hostname process:pid uid process:uid gid process:gid`)

// Names gives the long names, without those that hold another: passdb:FIELD,
// userdb:FIELD and md5:NAME and its kin.
func Names() []string { return names }

// Letters gives the short forms.
func Letters() string { return letters }

func known(name string) bool {
	if slices.Contains(names, name) {
		return true
	}
	db, rest, ok := strings.Cut(name, ":")
	switch {
	case !ok:
		return false
	case db == "passdb", db == "userdb":
		return rest != "" && rest[0] != ':'
	}
	return IsDigest(db) && slices.Contains(names, rest)
}

// BeforeAt gives a name without its domain.
func BeforeAt(user string) string {
	name, _, _ := strings.Cut(user, "@")
	return name
}

// AfterAt gives the domain of a name, "" where it has none.
func AfterAt(user string) string {
	_, d, _ := strings.Cut(user, "@")
	return d
}

// DomainFirst gives what is between the first two @ of a name with several.
func DomainFirst(user string) string { return BeforeAt(AfterAt(user)) }

// DomainLast gives what is after the last @.
func DomainLast(user string) string {
	_, d, _ := strings.Cut(user, "@")
	return d[strings.LastIndexByte(d, '@')+1:]
}
