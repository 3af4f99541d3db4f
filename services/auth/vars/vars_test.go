package vars

import (
	"errors"
	"slices"
	"testing"

	"culver/internal/variable"
)

func TestExpand(t *testing.T) {
	t.Parallel()
	said := func(db, name string) (string, bool) {
		v, ok := map[string]string{"passdb:quota": "1G", "userdb:home": "/srv/x"}[db+":"+name]
		return v, ok
	}
	v := &Values{
		User: "Joe.Doe@Example.COM", Service: "lmtp", LocalIP: "192.0.2.1", RemoteIP: "::1", LPort: "24", RPort: "4711",
		RealLocalIP: "10.0.0.1", RealRemoteIP: "10.0.0.2", RealLPort: "1", RealRPort: "2", Session: "s", LocalName: "mx",
		ClientID: "id", ClientPID: "42", Mech: "PLAIN", Secured: "TLS", Cert: "valid", OrigUser: "JOE", LoginUser: "target@a@b",
		MasterUser: "boss", AuthUser: "boss@c", Field: said,
	}
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"plain", "plain"},
		{"100%%", "100%"},
		{"%u|%n|%d", "Joe.Doe@Example.COM|Joe.Doe|Example.COM"},
		{"%{user}%{username}%{domain}", "Joe.Doe@Example.COMJoe.DoeExample.COM"},
		{"%s %l %r %a %b", "lmtp 192.0.2.1 ::1 24 4711"},
		{"%m %c %k %p", "PLAIN TLS valid 42"},
		{"%{service} %{protocol} %{lip} %{local_ip} %{rip} %{remote_ip}", "lmtp lmtp 192.0.2.1 192.0.2.1 ::1 ::1"},
		{"%{lport} %{local_port} %{rport} %{remote_port}", "24 24 4711 4711"},
		{"%{real_lip} %{real_local_ip} %{real_rip} %{real_remote_ip}", "10.0.0.1 10.0.0.1 10.0.0.2 10.0.0.2"},
		{"%{real_lport} %{real_local_port} %{real_rport} %{real_remote_port}", "1 1 2 2"},
		{"%{mech} %{mechanism} %{secured} %{cert} %{pid} %{client_pid}", "PLAIN PLAIN TLS valid 42 42"},
		{"%{session} %{local_name} %{client_id}", "s mx id"},
		{"%{orig_user} %{original_user} %{orig_domain}", "JOE JOE "},
		{"%{login_user} %{login_username} %{login_domain} %{login_domain_first} %{login_domain_last}", "target@a@b target a@b a b"},
		{"%{master_user} %{auth_user} %{auth_username} %{auth_domain}", "boss boss@c boss c"},
		{"%{passdb:quota} %{userdb:home} [%{passdb:none}] %{passdb:none:2G}", "1G /srv/x [] 2G"},
		{"%{passdb:none | default('3G')} %{passdb:quota | default(3G)}", "3G 1G"},
		{"%{user | lower}", "joe.doe@example.com"},
		{"%{user|username|upper}", "JOE.DOE"},
		{"%{user | domain | lower | ldap_dn}", "example,dc=com"},
		{"%{login_user | domain_first} %{login_user | domain_last}", "a b"},
		{"%{user | substr(0, 3)} %{user | substr(-3)} %{user | substr(4, -12)}", "Joe COM Doe"},
		{"%{user | truncate(3)} %{local_name | lfill(4)} %{local_name | rfill(4, '.')}", "Joe 00mx mx.."},
		{"%{local_name | reverse | hexlify} %{local_name | base64}", "786d bXg="},
		{"%{local_name | md5} %{local_name | md5 | base64}", "3d26b0b17065c2cf29c06c010184c684 PSawsXBlws8pwGwBAYTGhA=="},
		{"%{local_name | default('|}')}%{master_user | default('x') | upper}", "mxBOSS"},
		{"%{passdb:none | default('|}')}", "|}"},
		{"%3{user | lower}", "joe"},
	} {
		tpl, err := Parse(tt.in)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		if got := tpl.Expand(v); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
}

// TestNames: what a configuration may name there is, and nothing else.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, name := range variable.Names() {
		if variables[name] == nil {
			t.Errorf("%s: known to package variable, and not here", name)
		}
	}
	for name := range variables {
		if !slices.Contains(variable.Names(), name) {
			t.Errorf("%s: known here, and not to package variable", name)
		}
	}
	for _, letter := range variable.Letters() {
		if _, err := Parse("%" + string(letter)); err != nil {
			t.Error(err)
		}
	}
}

// TestAsDovecot: what Dovecot 2.3.19 made of these, in a passwd-file's extra field.
func TestAsDovecot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, user, want string }{
		{"%u|%n|%d", "Joe.Doe@Mail.Example.COM", "Joe.Doe@Mail.Example.COM|Joe.Doe|Mail.Example.COM"},
		{"%Lu", "Joe.Doe@Mail.Example.COM", "joe.doe@mail.example.com"},
		{"%Un", "Joe.Doe@Mail.Example.COM", "JOE.DOE"},
		{"%5u", "Joe.Doe@Mail.Example.COM", "Joe.D"},
		{"%2.3u", "Joe.Doe@Mail.Example.COM", "e.D"},
		{"%-3n", "Joe.Doe@Mail.Example.COM", "Joe"},
		{"%-4.2n", "Joe.Doe@Mail.Example.COM", ".D"},
		{"%05n", "Joe.Doe@Mail.Example.COM", "Joe.Doe"},
		{"%020n", "Joe.Doe@Mail.Example.COM", "0000000000000Joe.Doe"},
		{"%1.-2n", "Joe.Doe@Mail.Example.COM", "oe.D"},
		{"%3.0n", "Joe.Doe@Mail.Example.COM", ".Doe"},
		{"%-20.2n", "Joe.Doe@Mail.Example.COM", "Jo"},
		{"%2.256Nu", "Joe.Doe@Mail.Example.COM", "c3"},
		{"%Nu", "Joe.Doe@Mail.Example.COM", "b9c242c3"},
		{"%Hu", "Joe.Doe@Mail.Example.COM", "a8a753d"},
		{"%2.256Hu", "Joe.Doe@Mail.Example.COM", "3d"},
		{"%4.256Hn", "Joe.Doe@Mail.Example.COM", "0005"},
		{"%Mu", "Joe.Doe@Mail.Example.COM", "f93497aab9c242c37b73b6a0e63779a6"},
		{"%Xn", "Joe.Doe@Mail.Example.COM", "0"},
		{"%Rn", "Joe.Doe@Mail.Example.COM", "eoD.eoJ"},
		{"%Dd", "Joe.Doe@Mail.Example.COM", "Mail,dc=Example,dc=COM"},
		{"%Td", "Joe.Doe@Mail.Example.COM", "Mail.Example.COM"},
		{"%LRn", "Joe.Doe@Mail.Example.COM", "eod.eoj"},
		{"%ULn", "Joe.Doe@Mail.Example.COM", "joe.doe"},
		{"%5LUn", "Joe.Doe@Mail.Example.COM", "JOE.D"},
		{"%L{domain}", "Joe.Doe@Mail.Example.COM", "mail.example.com"},
		{"%5{user}", "Joe.Doe@Mail.Example.COM", "Joe.D"},
		{"%2.3{user}", "Joe.Doe@Mail.Example.COM", "e.D"},
		{"%{login_user}|%{orig_user}|%{auth_user}", "Joe.Doe@Mail.Example.COM", "|Joe.Doe@Mail.Example.COM|Joe.Doe@Mail.Example.COM"},
		{"%m|%c|%k|%l|%r|%s", "Joe.Doe@Mail.Example.COM", "|||||doveadm"},
		{"%{md5:user}", "Joe.Doe@Mail.Example.COM", "f93497aab9c242c37b73b6a0e63779a6"},
		{"%-2.-2n", "Joe.Doe@Mail.Example.COM", ""},
		{"%.3n", "Joe.Doe@Mail.Example.COM", "Joe"},
		{"%3.n", "Joe.Doe@Mail.Example.COM", ".Doe"},
		{"%0n", "Joe.Doe@Mail.Example.COM", "Joe.Doe"},
		{"%2.05n", "Joe.Doe@Mail.Example.COM", "e.Doe"},
		{"%N{domain}", "Joe.Doe@Mail.Example.COM", "397a7e65"},
		{"%1.16N{username}", "Joe.Doe@Mail.Example.COM", "6"},
		{"%-1.16Nu", "Joe.Doe@Mail.Example.COM", "3"},
		{"%u|%n|%d", "joe@a@b@c", "joe@a@b@c|joe|a@b@c"},
		{"%05n", "joe@a@b@c", "00joe"},
		{"%1.-2n", "joe@a@b@c", ""},
		{"%2.256Hu", "joe@a@b@c", "33"},
		{"%4.256Hn", "joe@a@b@c", "0055"},
		{"%Hu", "joe@a@b@c", "9651733"},
		{"%{domain_first}|%{domain_last}", "joe@a@b@c", "a|c"},
		{"%2.05n", "joe@a@b@c", "0000e"},
		{"%-1.16Nu", "joe@a@b@c", "e"},
	} {
		tpl, err := Parse(tt.in)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		v := &Values{User: tt.user, OrigUser: tt.user, AuthUser: tt.user, Service: "doveadm"}
		if got := tpl.Expand(v); got != tt.want {
			t.Errorf("%q of %q: got %q, want %q", tt.in, tt.user, got, tt.want)
		}
	}
}

func TestUserNamesInPaths(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		template, user, want string // "" for ErrPath
	}{
		{"/srv/%d/%n", "bob@x", "/srv/x/bob"},
		{"/srv/%d/%n", "..@x", ""},
		{"/srv/%d/%n", "bob@..", ""},
		{"/srv/%n", ".", ""},
		{"/srv/%n", "a/b", ""},
		{"/srv/%1n%1.1n/x", "..b", ""},
		{"/srv/%n", "..b", "/srv/..b"},
		{"/srv/./%n", "bob", "/srv/./bob"},
	} {
		tpl, err := Parse(tt.template)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tpl.ExpandPath(&Values{User: tt.user})
		if got != tt.want || (tt.want == "") != errors.Is(err, ErrPath) {
			t.Errorf("%s for %q: got %q, %v, want %q", tt.template, tt.user, got, err, tt.want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("/srv/%d/%Ln%%%{user|lower}", "bob@x")
	f.Add("%-3.2n", "")
	f.Add("%2.256Nu%{passdb:a:b | default('|}') | substr(-3, 2)}%{user | sha256 | lfill(9, x)}", "a@b@c")
	f.Fuzz(func(t *testing.T, text, user string) {
		tpl, err := Parse(text)
		if err != nil {
			return
		}
		tpl.Expand(&Values{User: user})
		tpl.ExpandPath(&Values{User: user})
	})
}
