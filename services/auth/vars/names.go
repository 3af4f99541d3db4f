package vars

import (
	"os"
	"strconv"
	"strings"

	"culver/internal/variable"
)

// variables by their long names, each with its aliases: 2.3's and 2.4's words.
var variables = allVariables()

func allVariables() map[string]func(*Values) string {
	all := map[string]func(*Values) string{}
	for names, value := range map[string]func(*Values) string{
		"service protocol":           func(v *Values) string { return v.Service },
		"lip local_ip":               func(v *Values) string { return v.LocalIP },
		"rip remote_ip":              func(v *Values) string { return v.RemoteIP },
		"lport local_port":           func(v *Values) string { return v.LPort },
		"rport remote_port":          func(v *Values) string { return v.RPort },
		"real_lip real_local_ip":     func(v *Values) string { return v.RealLocalIP },
		"real_rip real_remote_ip":    func(v *Values) string { return v.RealRemoteIP },
		"real_lport real_local_port": func(v *Values) string { return v.RealLPort },

		"real_rport real_remote_port": func(v *Values) string { return v.RealRPort },

		"mech mechanism":           func(v *Values) string { return v.Mech },
		"secured":                  func(v *Values) string { return v.Secured },
		"cert":                     func(v *Values) string { return v.Cert },
		"pid client_pid":           func(v *Values) string { return v.ClientPID },
		"session":                  func(v *Values) string { return v.Session },
		"local_name":               func(v *Values) string { return v.LocalName },
		"client_id":                func(v *Values) string { return v.ClientID },
		"master_user":              func(v *Values) string { return v.MasterUser },
		"hostname system:hostname": func(*Values) string { name, _ := os.Hostname(); return name },
		"process:pid":              func(*Values) string { return strconv.Itoa(os.Getpid()) },
		"uid process:uid":          func(*Values) string { return strconv.Itoa(os.Getuid()) },
		"gid process:gid":          func(*Values) string { return strconv.Itoa(os.Getgid()) },
	} {
		for name := range strings.FieldsSeq(names) {
			all[name] = value
		}
	}
	// Names of users have parts.
	for prefix, user := range map[string]func(*Values) string{
		"":          func(v *Values) string { return v.User },
		"login_":    func(v *Values) string { return v.LoginUser },
		"orig_":     func(v *Values) string { return v.OrigUser },
		"original_": func(v *Values) string { return v.OrigUser },
		"auth_":     func(v *Values) string { return v.AuthUser },
	} {
		all[prefix+"user"] = user
		for name, part := range map[string]func(string) string{"username": BeforeAt, "domain": AfterAt, "domain_first": variable.DomainFirst, "domain_last": variable.DomainLast} {
			all[prefix+name] = func(v *Values) string { return part(user(v)) }
		}
	}
	return all
}

// BeforeAt gives a name without its domain.
func BeforeAt(user string) string { return variable.BeforeAt(user) }

// AfterAt gives the domain of a name, "" where it has none.
func AfterAt(user string) string { return variable.AfterAt(user) }

// FromAt gives the domain of a name with its @.
func FromAt(user string) string { return user[len(BeforeAt(user)):] }
