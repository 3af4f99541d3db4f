package reach

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"culver/services/auth/field"
)

var now = time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC)

// entry makes the fields of an entry.
func entry(texts ...string) (l field.List) {
	for _, t := range texts {
		l = append(l, field.Cut(t))
	}
	return l
}

func parse(t *testing.T, texts ...string) Reach {
	t.Helper()
	r, err := Parse(entry(texts...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The principals of the tables.
var principals = map[string][]string{
	"admin":  {"allow_users=*@example.org", "allow_commands=search fetch expunge mailbox*"},
	"commas": {"allow_users=*@example.org,*@example.net", "allow_commands=search,mailbox_list,mailbox_status_*"},
	"one":    {"allow_users=bob@example.org", "allow_commands=*"},
	"letter": {"allow_users=b?b@example.org", "allow_commands=fetch"},
	"sub":    {"allow_users=*@*.example.org"},
	"two":    {"allow_users=*@*@example.org"},
	"locals": {"allow_users=b*"},
	"upper":  {"allow_users=*@Example.ORG", "allow_commands=Search,MAILBOX*"},
	"kelvin": {"allow_users=*@kelvin.example"},
	"utf8":   {"allow_users=jürgen@example.org,*@bücher.example"},
	"bytes":  {"allow_users=a\xff@example.org"},
	"slash":  {`allow_users=a\*@example.org`},
	"all":    {"allow_users=*", "allow_commands=*"},
	"any":    {},
	"mail":   {"allow_users=*@example.org", "allow_commands=imap pop3 smtp submission"},
	"smtp":   {"allow_users=*@example.org", "allow_commands=smtp*"},
	"imap":   {"allow_users=*@example.org", "allow_commands=imap"},
}

const (
	yes = true
	no  = false
)

func TestUsers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 243) // with @example.org 255 bytes
	for _, tt := range []struct {
		who    string
		target string
		want   bool
		why    string
	}{
		// The example of the manual.
		{"admin", "bob@example.org", yes, "a user of the domain"},
		{"admin", "admin@example.org", yes, "itself is one of them"},
		{"admin", "b@example.org", yes, "one letter"},
		{"admin", "bob.smith+x@example.org", yes, "dots and a plus are letters like others"},
		{"admin", "bob@example.net", no, "another domain"},
		{"admin", "bob", no, "no domain at all"},
		{"admin", "", no, "no name"},
		{"admin", "example.org", no, "the domain alone is a user without one"},

		// Neighbours of the domain.
		{"admin", "x@sub.example.org", no, "a domain below it is another domain"},
		{"admin", "x@notexample.org", no, "it ends in the same letters"},
		{"admin", "x@not-example.org", no, "it ends in the same letters after a hyphen"},
		{"admin", "x@example.org.evil", no, "it begins with the same letters"},
		{"admin", "x@example.org.", no, "a dot at the end is no part of the mask"},
		{"admin", "x@.example.org", no, "a dot before the domain"},
		{"admin", "x@example..org", no, "two dots"},
		{"admin", "x@example.orgx", no, "a letter more"},
		{"admin", "x@example.or", no, "a letter less"},
		{"admin", "x@examplexorg", no, "a dot in a mask is a dot"},
		{"admin", "x@xample.org", no, "the first letter is missing"},
		{"admin", "x@", no, "an empty domain"},
		{"admin", "@", no, "nothing on either side"},
		{"admin", "@example.org", no, "no user in it: a path made of it is the whole domain's"},
		{"admin", " @example.org", yes, "a blank is a letter: it is a user of the domain, if there is one"},
		{"admin", "x@ example.org", no, "a blank in the domain"},
		{"admin", "x@example.org ", no, "a blank after the domain"},
		{"admin", "x @example.org", yes, "a blank in the name is the name's"},

		// Two signs.
		{"admin", "x@evil.net@example.org", no, "the first @ ends the name for %d, the last one for others"},
		{"admin", "x@example.org@evil.net", no, "the other order"},
		{"admin", "x@example.org@example.org", no, "twice the domain"},
		{"admin", "x@@example.org", no, "two next to each other"},
		{"admin", "x@example.org@", no, "one at the end"},
		{"admin", "@x@example.org", no, "one at the beginning"},

		// Case. Names come in their canonical form, but the reach does not lean on it.
		{"admin", "BOB@example.org", yes, "capitals in the name"},
		{"admin", "bob@EXAMPLE.ORG", yes, "capitals in the domain"},
		{"admin", "bob@Example.oRg", yes, "mixed ones"},
		{"upper", "bob@example.org", yes, "capitals in the mask"},
		{"upper", "bob@example.net", no, "another domain, capitals in the mask"},

		// Unicode that looks or folds like the domain.
		{"admin", "bob@example.or\u0261", no, "a Latin script g"},
		{"admin", "bob@ex\u0430mple.org", no, "a Cyrillic a"},
		{"admin", "bob@\u0435xample.org", no, "a Cyrillic e"},
		{"admin", "bob@exampl\u00e9.org", no, "an e with an acute"},
		{"admin", "bob@example\u0301.org", no, "a combining acute after the e"},
		{"admin", "bob@exa\u200bmple.org", no, "a zero width blank"},
		{"admin", "bob@example.org\u200b", no, "a zero width blank at the end"},
		{"admin", "bob@\u200bexample.org", no, "a zero width blank before the domain"},
		{"admin", "bob@exa\u200dmple.org", no, "a zero width joiner"},
		{"admin", "bob@exa\u00admple.org", no, "a soft hyphen"},
		{"admin", "bob@\ufeffexample.org", no, "a byte order mark"},
		{"admin", "bob@\u202egro.elpmaxe", no, "written from right to left it shows the domain"},
		{"admin", "bob@example.org\u202e", no, "a mark for right to left at the end"},
		{"admin", "bob@\u200fexample.org", no, "a right to left mark before the domain"},
		{"admin", "bob@example\u3002org", no, "an ideographic full stop"},
		{"admin", "bob@example\uff0eorg", no, "a full-width dot"},
		{"admin", "bob@example\u2024org", no, "a one dot leader"},
		{"admin", "bob\uff20example.org", no, "a full-width @ is none"},
		{"admin", "bob\ufe6bexample.org", no, "a small @ is none"},
		{"admin", "bob@evil.net\uff20example.org", no, "a full-width @ is a letter of the other domain"},
		{"admin", "bob@\uff45xample.org", no, "a full-width e"},
		{"admin", "bob@e\u217dample.org", no, "a Roman numeral"},
		{"admin", "bob\uff20evil.net@example.org", yes, "a full-width @ is a letter of the name"},
		{"admin", "b\u043eb@example.org", yes, "a Cyrillic o: another user, of this domain"},
		{"admin", "bo\u200bb@example.org", yes, "a zero width blank in the name: another user, of this domain"},
		{"one", "bo\u200bb@example.org", no, "and not the one who is named"},
		{"one", "b\u043eb@example.org", no, "a Cyrillic o is not the o that is named"},
		{"one", "\u202ebob@example.org", no, "nor is one with a mark in front"},
		{"one", "bob\u0301@example.org", no, "nor one with an accent"},

		// The Kelvin sign and its kin fold to ASCII by Unicode's rules.
		{"kelvin", "bob@\u212aelvin.example", no, "a Kelvin sign is no k"},
		{"kelvin", "bob@kelvin.example", yes, "a k is"},
		{"kelvin", "bob@Kelvin.example", yes, "and so is a K"},
		{"kelvin", "bo\u017f@kelvin.example", yes, "a long s in the name: another user, of this domain"},
		{"kelvin", "bob@kelvin.e\u212aample", no, "a Kelvin sign elsewhere"},
		{"utf8", "JÜRGEN@example.org", no, "a capital Ü is another letter: ASCII alone has no case"},
		{"utf8", "jürgen@example.org", yes, "the same bytes"},
		{"utf8", "ju\u0308rgen@example.org", no, "the same letter in two code points"},
		{"utf8", "JüRGEN@example.org", yes, "the ASCII letters in capitals"},
		{"utf8", "x@bücher.example", yes, "a domain that is no ASCII"},
		{"utf8", "x@bu\u0308cher.example", no, "the same in two code points"},
		{"utf8", "x@xn--bcher-kva.example", no, "the same in punycode is another text"},
		{"utf8", "x@b\xc3cher.example", no, "half a letter"},
		{"bytes", "a\xff@example.org", yes, "bytes that are no letters are compared too"},
		{"bytes", "a\xfe@example.org", no, "another one"},
		{"bytes", "a\ufffd@example.org", no, "and none is the letter that stands for broken ones"},
		{"one", "bob\xff@example.org", no, "a byte too many"},

		// Control bytes are in no name.
		{"admin", "bob\x00@example.org", no, "NUL in the name"},
		{"admin", "bob@evil.net\x00@example.org", no, "NUL would end it for C"},
		{"admin", "bob@example.org\x00", no, "NUL at the end"},
		{"admin", "bob\t@example.org", no, "TAB, which parts fields"},
		{"admin", "bob\n@example.org", no, "a new line"},
		{"admin", "bob@example.org\n", no, "a new line at the end"},
		{"admin", "bob@example.org\r\n", no, "both ends of a line"},
		{"admin", "bob\x01@example.org", no, "the byte that escapes"},
		{"admin", "bob\x7f@example.org", no, "DEL"},
		{"admin", "bob\x1b[0m@example.org", no, "an escape sequence"},
		{"all", "bob\x00", no, "for him who may reach all, too"},
		{"any", "bob\n", no, "and without a bound"},
		{"any", "", no, "nor is there a user without a name"},

		// A target that is a mask.
		{"admin", "*", no, "a mask is no name"},
		{"admin", "*@example.org", no, "not even the one that is granted"},
		{"admin", "?@example.org", no, "with a question mark"},
		{"admin", "b*@example.org", no, "a star in the name"},
		{"admin", "*@*", no, "for every domain"},
		{"admin", "bob@*", no, "a star as the domain"},
		{"admin", "bob@example.org*", no, "a star behind"},
		{"admin", "bob@example.or?", no, "a question mark in the domain"},
		{"admin", "bob@example.org,eve@evil.net", no, "a list is no name"},
		{"admin", "eve@evil.net,bob@example.org", no, "nor in the other order"},
		{"admin", "eve@evil.net bob@example.org", no, "nor with a blank"},
		{"all", "*", no, "all users are not one user"},
		{"all", "*@example.org", no, "nor are those of a domain"},
		{"any", "*", no, "without a bound, too"},
		{"any", "b?b@example.org", no, "nor is a user with a question mark"},
		{"slash", `a\*@example.org`, no, "a star behind a backslash is a star"},
		{"slash", `a\bc@example.org`, yes, "and a backslash in a mask is one in the name"},
		{"slash", `abc@example.org`, no, "a backslash is no escape"},

		// Encodings: what somebody could decode, nobody does.
		{"admin", "bob%40example.org", no, "a coded @ is none"},
		{"admin", "bob@evil.net%40example.org", no, "nor in another domain"},
		{"admin", "bob@example%2eorg", no, "a coded dot is none"},
		{"admin", "bob@example.org%00", no, "a coded NUL"},
		{"admin", "bob@%65xample.org", no, "a coded e"},
		{"admin", "eve%evil.net@example.org", yes, "a percent sign is a letter of a name of this domain"},
		{"admin", "%u@example.org", yes, "and so is what looks like a variable: values are never expanded"},
		{"admin", "bob@%d", no, "nor in the domain"},
		{"admin", "bob&AEA-example.org", no, "a @ in the coding of mailboxes is none"},
		{"admin", "bob+AEA-example.org", no, "nor in UTF-7"},
		{"admin", "bob&#64;example.org", no, "nor in HTML's"},
		{"admin", "bob=40example.org", no, "nor in quoted-printable"},
		{"admin", `bob\@example.org`, yes, "a backslash before the @ is the name's last letter"},
		{"admin", `bob@example\.org`, no, "a backslash in the domain"},
		{"admin", `bob\100example.org`, no, "an octal @"},
		{"admin", `"bob"@example.org`, yes, "quotes are letters"},
		{"admin", `"bob@evil.net"@example.org`, no, "two @, quoted or not"},
		{"admin", `bob@"example.org"`, no, "quotes are no part of the domain"},
		{"admin", "=?utf-8?q?bob?=@example.org", no, "an encoded word has question marks"},
		{"admin", "<bob@example.org>", no, "brackets"},
		{"admin", "bob@[example.org]", no, "a literal"},
		{"admin", "bob(x)@example.org", yes, "what mail calls a comment are letters"},
		{"admin", "bob@example.org(evil)", no, "and not in the domain"},
		{"admin", "../eve@example.org", yes, "a path is for him who makes paths to refuse; in the domain it is a name"},
		{"admin", "bob@example.org/../evil.net", no, "a path out of the domain"},
		{"admin", "bob@evil.net/../example.org", no, "a path into it"},
		{"admin", "bob*eve@example.org", no, "a name with the separator of master users"},

		// Length.
		{"admin", long + "@example.org", yes, "as long as a name may be"},
		{"admin", long + "a@example.org", no, "one byte longer"},
		{"all", strings.Repeat("a", 255), yes, "as long, without a domain"},
		{"all", strings.Repeat("a", 256), no, "one longer, for him who may reach all"},
		{"any", strings.Repeat("a", 1<<16), no, "much longer"},

		// Other masks.
		{"commas", "bob@example.net", yes, "the second mask"},
		{"commas", "bob@example.org,*@example.net", no, "a name that is made of the list"},
		{"commas", "bob@example.com", no, "neither"},
		{"one", "bob@example.org", yes, "the one who is named"},
		{"one", "bobby@example.org", no, "a longer name"},
		{"one", "bo@example.org", no, "a shorter one"},
		{"one", "xbob@example.org", no, "a letter before"},
		{"one", "bob@example.org.uk", no, "a longer domain"},
		{"one", "Bob@Example.org", yes, "capitals"},
		{"letter", "bob@example.org", yes, "one letter for the question mark"},
		{"letter", "b@b@example.org", no, "an @ is none for it"},
		{"letter", "bb@example.org", no, "nor is nothing"},
		{"letter", "booob@example.org", no, "nor are three"},
		{"letter", "b\u00fcb@example.org", no, "a letter of two bytes is two"},
		{"sub", "x@a.example.org", yes, "a domain below"},
		{"sub", "x@a.b.example.org", yes, "two below"},
		{"sub", "x@example.org", no, "the domain itself is not below"},
		{"sub", "x@evil.net@a.example.org", no, "a star stands for no @"},
		{"sub", "x@a.example.org.evil", no, "it has an end"},
		{"two", "x@y@example.org", yes, "two @ where the mask has two"},
		{"two", "x@example.org", no, "one where it has two"},
		{"two", "x@y@z@example.org", no, "three where it has two"},
		{"locals", "bob", yes, "a name without a domain"},
		{"locals", "bob@example.org", no, "a star does not reach over the @"},
		{"locals", "b@", no, "nor half a name"},
		{"locals", "eve", no, "another name"},
		{"all", "bob@example.org", yes, "everybody"},
		{"all", "bob", yes, "without a domain"},
		{"all", "x@y@z", yes, "whatever the name"},
		{"any", "bob@example.net", yes, "no bound"},
	} {
		if got := parse(t, principals[tt.who]...).AllowsUser(tt.target); got != tt.want {
			t.Errorf("%s and %q (%s): got %v, want %v", tt.who, tt.target, tt.why, got, tt.want)
		}
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		who     string
		command string
		want    bool
		why     string
	}{
		// The example of the manual.
		{"admin", "search", yes, "named"},
		{"admin", "fetch", yes, "named"},
		{"admin", "expunge", yes, "named"},
		{"admin", "mailbox", yes, "the mask's word alone"},
		{"admin", "mailbox list", yes, "a command of that word"},
		{"admin", "mailbox delete", yes, "another one"},
		{"admin", "mailbox cache remove", yes, "three words"},
		{"admin", "mailboxx", no, "another word"},
		{"admin", "mailboxes", no, "another word with the same beginning"},
		{"admin", "mailbox-list", no, "a hyphen is a letter of the word"},
		{"admin", "mailbo", no, "a shorter word"},
		{"admin", "xmailbox list", no, "a longer word"},
		{"admin", "batch mailbox list", no, "the word is not the first one"},
		{"admin", "move", no, "not named"},
		{"admin", "copy", no, "not named"},
		{"admin", "import", no, "not named"},
		{"admin", "save", no, "not named"},
		{"admin", "flags add", no, "not named"},
		{"admin", "batch", no, "what carries other commands out has to be named too"},
		{"admin", "deduplicate", no, "not named"},
		{"admin", "force-resync", no, "not named"},
		{"admin", "imap", no, "nor is a login"},

		// Spelling: a command has one.
		{"admin", "Search", no, "capitals: the table of commands has none"},
		{"admin", "SEARCH", no, "all of them"},
		{"admin", "Mailbox List", no, "in both words"},
		{"admin", "mailbox  list", no, "two blanks"},
		{"admin", " mailbox list", no, "a blank before"},
		{"admin", "mailbox list ", no, "a blank after"},
		{"admin", "mailbox ", no, "a blank after the mask's word"},
		{"admin", "expunge ", no, "a blank after"},
		{"admin", " expunge", no, "a blank before"},
		{"admin", "mailbox\tlist", no, "TAB"},
		{"admin", "mailbox\u00a0list", no, "a blank that does not break"},
		{"admin", "mailbox\nlist", no, "a new line"},
		{"admin", "mailbox_list", no, "the blank of the settings is none of a command's"},
		{"admin", "search\x00", no, "NUL"},
		{"admin", "search\x00 evil", no, "NUL would end it for C"},
		{"admin", "\u200bsearch", no, "a zero width blank"},
		{"admin", "se\u0430rch", no, "a Cyrillic a"},
		{"admin", "sear\u017fh", no, "a long s, which folds to s"},
		{"admin", "\u017fearch", no, "a long s for the first letter"},
		{"admin", "searc\u210e", no, "Planck's h"},
		{"admin", "\uff53earch", no, "a full-width s"},
		{"admin", "sear", no, "the beginning of a command"},
		{"admin", "searchx", no, "a command and a letter"},
		{"admin", "search fetch", no, "two that are named are not one"},
		{"admin", "search,fetch", no, "a list"},
		{"admin", "search;evil", no, "two commands for a shell"},
		{"admin", "", no, "none"},
		{"admin", " ", no, "a blank"},
		{"admin", "*", no, "a mask is no command"},
		{"admin", "mailbox*", no, "nor is the one that is granted"},
		{"admin", "?earch", no, "nor one with a question mark"},
		{"admin", "mailbox " + strings.Repeat("a", 100), no, "longer than commands are"},
		{"all", strings.Repeat("a", 65), no, "for him who may do all, too"},
		{"all", "Search", no, "and so is the spelling"},
		{"any", "", no, "a login without a protocol may be anything"},
		{"any", "IMAP", no, "and without a bound"},

		// Other masks.
		{"commas", "search", yes, "with commas"},
		{"commas", "mailbox list", yes, "the underscore is a blank"},
		{"commas", "mailbox", no, "the word alone is not named"},
		{"commas", "mailbox status", no, "a mask with a blank wants a word more"},
		{"commas", "mailbox status x", yes, "and there it is"},
		{"commas", "mailbox statusx", no, "but not in the same word"},
		{"upper", "search", yes, "capitals in the mask are none"},
		{"upper", "mailbox list", yes, "nor in one with a star"},
		{"letter", "fetch", yes, "named"},
		{"letter", "search", no, "not named"},
		{"all", "expunge", yes, "every command"},
		{"all", "batch", yes, "every command"},
		{"all", "imap", yes, "every login"},
		{"any", "expunge", yes, "no bound"},
		{"any", "imap", yes, "no bound"},
		{"any", "pop3", yes, "no bound"},
		{"any", "lmtp", yes, "no bound"},

		// Mail in another's name.
		{"any", "smtp", no, "no bound is no leave to send"},
		{"any", "submission", no, "by the other name"},
		{"any", "smtps", no, "by names that begin so"},
		{"any", "submissions", no, "by names that begin so"},
		{"any", "SMTP", no, "in capitals"},
		{"any", "Submission", no, "in capitals"},
		{"any", "smtp ", no, "with a blank"},
		{"all", "smtp", no, "a star names nothing"},
		{"all", "submission", no, "a star names nothing"},
		{"one", "smtp", no, "a star names nothing"},
		{"mail", "smtp", yes, "named"},
		{"mail", "submission", yes, "named"},
		{"mail", "smtps", no, "another name"},
		{"mail", "imap", yes, "named"},
		{"mail", "search", no, "a login is no command"},
		{"smtp", "smtp", yes, "named by a mask"},
		{"smtp", "smtps", no, "another word"},
		{"smtp", "submission", no, "the other name"},
		{"imap", "imap", yes, "named"},
		{"imap", "imaps", no, "another word"},
		{"imap", "pop3", no, "not named"},
		{"imap", "smtp", no, "not named"},
	} {
		if got := parse(t, principals[tt.who]...).AllowsCommand(tt.command); got != tt.want {
			t.Errorf("%s and %q (%s): got %v, want %v", tt.who, tt.command, tt.why, got, tt.want)
		}
	}
}

// Every command of one in reach, and none of one out of it.
func TestAllows(t *testing.T) {
	t.Parallel()
	r := parse(t, append(principals["admin"], "allow_nets=192.0.2.0/24,2001:db8::1,local", "allow_until=1800100000")...)
	until := time.Unix(1800100000, 0)
	for _, tt := range []struct {
		target, command, ip string
		now                 time.Time
		want                string // the beginning of the error
	}{
		{"bob@example.org", "fetch", "192.0.2.9", now, ""},
		{"bob@example.org", "mailbox list", "192.0.2.255", now, ""},
		{"bob@example.org", "fetch", "::ffff:192.0.2.9", now, ""},
		{"bob@example.org", "fetch", "2001:DB8:0::1", now, ""},
		{"bob@example.org", "fetch", "", now, ""},
		{"bob@example.org", "fetch", "192.0.2.9", until.Add(-time.Nanosecond), ""},
		{"bob@example.net", "fetch", "192.0.2.9", now, "allow_users"},
		{"bob@example.org", "move", "192.0.2.9", now, "allow_commands"},
		{"bob@example.org", "fetch", "192.0.3.9", now, "allow_nets"},
		{"bob@example.org", "fetch", "2001:db8::2", now, "allow_nets"},
		{"bob@example.org", "fetch", "local", now, "allow_nets"},
		{"bob@example.org", "fetch", "192.0.2.9\x00", now, "allow_nets"},
		{"bob@example.org", "fetch", " 192.0.2.9", now, "allow_nets"},
		{"bob@example.org", "fetch", "192.0.2.009", now, "allow_nets"},
		{"bob@example.org", "fetch", "3221225993", now, "allow_nets"},
		{"bob@example.org", "fetch", "192.0.2.9", until, "allow_until"},
		{"bob@example.org", "fetch", "192.0.2.9", until.Add(time.Hour), "allow_until"},
		{"bob@example.net", "move", "192.0.3.9", until, "allow_until"},
	} {
		err := r.Allows(tt.target, tt.command, tt.ip, tt.now)
		if got := fmt.Sprint(err); (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(got, tt.want) {
			t.Errorf("%q %q from %q at %v: got %v, want %q", tt.target, tt.command, tt.ip, tt.now, got, tt.want)
		}
	}
	if err := (Reach{}).Allows("bob@example.org", "fetch", "", now); err == nil {
		t.Error("a reach that nobody has made: got leave, want none")
	}
	if err := All().Allows("bob@example.org", "fetch", "", now); err != nil {
		t.Errorf("a reach without bounds: got %v", err)
	}
}

// What is not understood gives leave for nothing.
func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		why    string
		fields []string
	}{
		{"an empty list", []string{"allow_users="}},
		{"a list of commas", []string{"allow_users=, ,"}},
		{"a bare field", []string{"allow_users"}},
		{"an exception", []string{"allow_users=*,!root@example.org"}},
		{"a mask with TAB", []string{"allow_users=a@example.org\tb@example.org"}},
		{"a mask with a new line", []string{"allow_users=a@example.org\n"}},
		{"an overlong mask", []string{"allow_users=" + strings.Repeat("a", 256)}},
		{"too many masks", []string{"allow_users=" + strings.Repeat("a,", 257)}},
		{"twice", []string{"allow_users=a@example.org", "allow_users=*"}},
		{"the singular", []string{"allow_user=a@example.org"}},
		{"a letter left out", []string{"alow_users=a@example.org"}},
		{"two letters exchanged", []string{"lalow_commands=search"}},
		{"a letter of another script", []string{"\u0430llow_nets=192.0.2.0/24"}},
		{"a hyphen and a slip", []string{"alow-until=2027-01-31"}},
		{"capitals in the name", []string{"Allow_Users=a@example.org"}},
		{"a hyphen in the name", []string{"allow-users=a@example.org"}},
		{"a suffix that is left", []string{"allow_users:default=a@example.org"}},
		{"a bound that is none", []string{"allow_domains=example.org"}},
		{"no commands", []string{"allow_commands="}},
		{"a star within a word", []string{"allow_commands=mail*box"}},
		{"a star before a word", []string{"allow_commands=*list"}},
		{"two stars", []string{"allow_commands=mailbox**"}},
		{"a question mark", []string{"allow_commands=mailbox_?"}},
		{"two blanks", []string{"allow_commands=mailbox__list"}},
		{"a blank at the end", []string{"allow_commands=mailbox_"}},
		{"a blank before", []string{"allow_commands=_list"}},
		{"nothing but a blank and a star", []string{"allow_commands=_*"}},
		{"an exception of commands", []string{"allow_commands=*,!expunge"}},
		{"letters that commands do not have", []string{"allow_commands=s\u00e9arch"}},
		{"one bad item among good ones", []string{"allow_commands=search,fetch,mail*box"}},
		{"no networks", []string{"allow_nets="}},
		{"half an address", []string{"allow_nets=192.0.2"}},
		{"a host name", []string{"allow_nets=localhost"}},
		{"too many bits", []string{"allow_nets=192.0.2.0/33"}},
		{"one bad network among good ones", []string{"allow_nets=192.0.2.0/24,x"}},
		{"no time", []string{"allow_until="}},
		{"a word for a time", []string{"allow_until=tomorrow"}},
		{"a day that is none", []string{"allow_until=2027-02-30"}},
		{"another order", []string{"allow_until=31.01.2027"}},
		{"a time before 1970", []string{"allow_until=-1"}},
		{"a time with a blank", []string{"allow_until=2027-01-31 18:00"}},
		{"a time far away", []string{"allow_until=99999999999999"}},
		{"one bad field among good ones", []string{"allow_users=*", "allow_commands=*", "allow_until=x"}},
	} {
		r, err := Parse(entry(tt.fields...))
		if err == nil {
			t.Errorf("%s: got no error", tt.why)
		}
		if r.Allows("a@example.org", "search", "192.0.2.1", now) == nil || r.AllowsUser("a@example.org") || r.AllowsCommand("search") {
			t.Errorf("%s: got leave, want none", tt.why)
		}
	}
	r, err := Parse(entry("user=x", "nologin", "allow_real_nets=10.0.0.0/8", "userdb_allow_users=*", "quota=1"))
	if err != nil || r.Allows("a@example.org", "search", "192.0.2.1", now) != nil {
		t.Errorf("fields of others: got %v, want no bound", err)
	}
}

func TestUntil(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want time.Time
	}{
		{"2027-01-31", time.Date(2027, 2, 1, 0, 0, 0, 0, time.Local)},
		{"2028-02-29", time.Date(2028, 3, 1, 0, 0, 0, 0, time.Local)},
		{"2027-01-31T18:00:00+01:00", time.Date(2027, 1, 31, 17, 0, 0, 0, time.UTC)},
		{"2027-01-31T18:00:00Z", time.Date(2027, 1, 31, 18, 0, 0, 0, time.UTC)},
		{"1800000000", time.Unix(1800000000, 0)},
		{"0", time.Unix(0, 0)},
	} {
		if got, err := Until(tt.text); err != nil || !got.Equal(tt.want) {
			t.Errorf("%s: got %v %v, want %v", tt.text, got, err, tt.want)
		}
	}
}
