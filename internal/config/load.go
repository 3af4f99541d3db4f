package config

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"culver/internal/settings"
	"culver/internal/settings/finished"
	"culver/internal/spelling"
)

// Load reads the configuration at path, then each extra file as if it were
// included at the end. With any Problem the Config is not to be used.
func Load(path string, acc Accounts, extra ...string) (*settings.Config, []Problem) {
	b := read(acc, append([]string{path}, extra...))
	cfg := b.config()
	b.check(cfg)
	return cfg, sortProblems(b.problems, b.loader.files)
}

// Globals reads the settings of the top level, and the doveadm_server blocks as
// doveadm_server/N/name and so on, for a client: its host need not be one that
// could run what the file describes.
func Globals(path string) (finished.Bag, []Problem) {
	b := read(Self{}, []string{path})
	b.global = b.values(b.root, b.root.kind.Rows)
	b.paths()
	servers := b.root.all("doveadm_server")
	b.global["doveadm_server/count"] = strconv.Itoa(len(servers))
	for i, n := range servers {
		key := fmt.Sprintf("doveadm_server/%d/", i)
		b.global[key+"name"], b.global[key+"worker_count"] = n.label, b.values(n, n.kind.Rows)["worker_count"]
	}
	return b.global, sortProblems(b.problems, b.loader.files)
}

func read(acc Accounts, files []string) *builder {
	l := &loader{glob: filepath.Glob}
	root := newNode(settings.Root(), "", Pos{files[0], 1, 1})
	for _, name := range files {
		if err := l.file(name, root); err != nil {
			l.add(Pos{name, 1, 1}, fmt.Sprintf("cannot read: %v", err), "")
			l.holes = true
		}
	}
	return &builder{loader: l, root: root, acc: acc}
}

// loader reads files into a tree of nodes.
type loader struct {
	glob     func(pattern string) (sorted []string, err error)
	problems []Problem
	files    []string // all that were read, in order
	reading  []string // those being read now, the outermost first
	holes    bool     // some text was not understood: do not complain of what is missing
}

func (l *loader) add(at Pos, what, hint string) {
	l.problems = append(l.problems, Problem{at, what, hint})
}

// node is one block after merging: all blocks of its kind and label.
type node struct {
	kind  *settings.Block
	label string
	pos   Pos // of its first appearance
	set   map[string]given
	inner []*node // in order of first appearance
}

// given is a setting that was written, the last time that it was.
type given struct {
	Pos
	value string // canonical
	bad   bool   // not valid, which has been reported
}

func newNode(kind *settings.Block, label string, pos Pos) *node {
	return &node{kind: kind, label: label, pos: pos, set: map[string]given{}}
}

// child finds or makes the inner block of a kind and label.
func (n *node) child(kind *settings.Block, label string, pos Pos) *node {
	for _, c := range n.inner {
		if c.kind.Kind == kind.Kind && c.label == label {
			return c
		}
	}
	c := newNode(kind, label, pos)
	n.inner = append(n.inner, c)
	return c
}

// all gives the inner blocks of a kind.
func (n *node) all(kind string) []*node {
	var out []*node
	for _, c := range n.inner {
		if c.kind.Kind == kind {
			out = append(out, c)
		}
	}
	return out
}

// file reads one file into a node.
func (l *loader) file(name string, into *node) error {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return plain(err)
	}
	if slices.Contains(l.reading, real) {
		return fmt.Errorf("it includes itself")
	}
	src, err := readSource(name)
	if err != nil {
		return err
	}
	l.reading = append(l.reading, real)
	if !slices.Contains(l.files, name) {
		l.files = append(l.files, name)
	}
	l.source(src, into)
	l.reading = l.reading[:len(l.reading)-1]
	return nil
}

func (l *loader) source(src *source, into *node) {
	body, faults := src.parse()
	for _, f := range faults {
		l.add(src.pos(f.offset), f.what, f.hint)
		l.holes = true
	}
	l.body(src, body, into)
}

// body reads settings and blocks in the order in which they are written, which
// matters to include.
func (l *loader) body(src *source, body *hclsyntax.Body, into *node) {
	type item struct {
		at   hcl.Range
		attr *hclsyntax.Attribute
		blk  *hclsyntax.Block
	}
	var items []item
	for _, a := range body.Attributes {
		if a != nil {
			items = append(items, item{at: a.NameRange, attr: a})
		}
	}
	for _, b := range body.Blocks {
		items = append(items, item{at: b.TypeRange, blk: b})
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.at.Start.Byte, b.at.Start.Byte) })
	for _, it := range items {
		if it.attr != nil {
			l.setting(src, it.attr, into)
		} else {
			l.block(src, it.blk, into)
		}
	}
}

// setting reads NAME = VALUE.
func (l *loader) setting(src *source, a *hclsyntax.Attribute, into *node) {
	at := src.pos(a.NameRange.Start.Byte)
	row, known := into.kind.Row(a.Name)
	if !known {
		l.unknown(at, "setting", a.Name, into)
		return
	}
	v, f := src.value(a.Expr)
	if f != nil {
		l.add(src.pos(f.offset), f.what, f.hint)
		into.set[a.Name] = given{Pos: at, bad: true}
		return
	}
	canonical, err := row.Type.Canon(v)
	if err != nil {
		what, hint := err.Error(), ""
		if fault, ok := err.(settings.Fault); ok {
			hint = fault.Hint
		}
		l.add(src.pos(a.Expr.Range().Start.Byte), a.Name+": "+what, hint)
	}
	into.set[a.Name] = given{Pos: at, value: canonical, bad: err != nil}
}

// block reads a block, or the files that an include names.
func (l *loader) block(src *source, b *hclsyntax.Block, into *node) {
	at := src.pos(b.TypeRange.Start.Byte)
	if b.Type == "include" {
		l.include(src, b, into)
		return
	}
	kind, known := into.kind.Block(b.Type)
	if !known {
		l.unknown(at, "block", b.Type, into)
		return
	}
	label, ok := l.label(src, b, kind.Label)
	if !ok {
		return
	}
	n := into.child(kind, label, at)
	if kind.Kind == "service" {
		if _, known := settings.BuiltinNamed(label); !known {
			l.add(src.pos(b.LabelRanges[0].Start.Byte), fmt.Sprintf("unknown service %q", label), meant(spelling.Nearest(label, settings.ServiceNames())))
		}
	}
	l.body(src, b.Body, n)
}

// label gives the one label of a block.
func (l *loader) label(src *source, b *hclsyntax.Block, name string) (string, bool) {
	at := src.pos(b.TypeRange.Start.Byte)
	if len(b.LabelRanges) != 1 {
		l.add(at, fmt.Sprintf("%s has %d labels, want one", b.Type, len(b.LabelRanges)), fmt.Sprintf(`write %s "%s" {`, b.Type, name))
		return "", false
	}
	label := src.slice(b.LabelRanges[0])
	if len(label) >= 2 && label[0] == '"' {
		label = unquote(label[1 : len(label)-1])
	}
	if v, err := settings.String().Canon(settings.Value{Form: settings.Quoted, Text: label}); err != nil || v == "" {
		l.add(src.pos(b.LabelRanges[0].Start.Byte), b.Type+": an empty label, or one with control bytes", "")
		return "", false
	}
	return label, true
}

// unknown reports a name that the block does not have.
func (l *loader) unknown(at Pos, what, name string, into *node) {
	kind, where := into.kind, into.where()
	if _, isBlock := kind.Block(name); isBlock {
		l.add(at, fmt.Sprintf("%q is a block%s, not a setting", name, where), fmt.Sprintf(`write %s "label" {`, name))
		return
	}
	if _, isSetting := kind.Row(name); isSetting {
		l.add(at, fmt.Sprintf("%q is a setting%s, not a block", name, where), fmt.Sprintf("write %s = value", name))
		return
	}
	hint := dovecots[name]
	if hint == "" {
		hint = meant(spelling.Nearest(name, kind.Names()))
	}
	if hint == "" {
		hint = elsewhere(name)
	}
	l.add(at, fmt.Sprintf("unknown %s %q%s", what, name, where), hint)
}

// dovecots are names that administrators bring from Dovecot, with what they
// are here.
var dovecots = map[string]string{
	"plugin":                "settings of plugins stand at the top level here: quota_rule, quota_grace",
	"protocol":              "settings of a protocol stand at the top level here",
	"mail_plugins":          "quota is built in, and Sieve is not in this version",
	"mail_uid":              `the userdb says it: override_fields = ["uid=1000"]`,
	"mail_gid":              `the userdb says it: override_fields = ["gid=1000"]`,
	"mail_home":             `the userdb says it: override_fields = ["home=/srv/mail/%u"]`,
	"mail_path":             `here it is mail_location = "maildir:PATH"`,
	"mail_driver":           `here it is mail_location = "maildir:PATH"`,
	"mail_privileged_group": "workers never change their group; see mail_access_groups",
	"restart_request_count": "here it is service_count",
	"idle_kill_interval":    "here it is idle_kill",
	"ssl_server_cert_file":  "here it is ssl_cert",
	"ssl_server_key_file":   "here it is ssl_key",
	"lmtp_proxy":            "a passdb field proxy=yes says it for each user",
}

func meant(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", name)
}

// elsewhere says where a name belongs that stands in the wrong block, also when
// it is misspelt there.
func elsewhere(name string) string {
	places := map[string]string{} // by name, the first and outermost
	var names []string
	var walk func(b *settings.Block)
	walk = func(b *settings.Block) {
		place := "in " + b.Kind
		if b.Kind == "" {
			place = "at the top level"
		}
		for _, n := range b.Names() {
			if _, known := places[n]; !known {
				places[n] = place
				names = append(names, n)
			}
		}
		for _, inner := range b.Blocks {
			walk(inner)
		}
	}
	walk(settings.Root())
	if place, ok := places[name]; ok {
		return "it belongs " + place
	}
	if n := spelling.Nearest(name, names); n != "" {
		return fmt.Sprintf("did you mean %q? it belongs %s", n, places[n])
	}
	return ""
}

// where names a node for a message: ` in service "lmtp"`.
func (n *node) where() string {
	if n.kind.Kind == "" {
		return ""
	}
	return fmt.Sprintf(" in %s %q", n.kind.Kind, n.label)
}
