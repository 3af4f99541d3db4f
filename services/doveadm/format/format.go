// Package format prints rows of cells as doveadm -f does: flow, pager, tab,
// table and json as Dovecot's doveadm prints them, and ndjson.
//
// Runs as:   whoever calls doveadm.
// Trusts:    the columns, which come from package command.
// Distrusts: every cell: mail is written by strangers, and a terminal obeys control bytes.
// Speaks:    the layouts of Dovecot 2.3; docs/compatibility.md lists what differs.
package format

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"culver/services/doveadm/command"
)

// Options say where and how rows are printed.
type Options struct {
	NoHeader bool // -h: tab and table print no titles
	Users    bool // rows begin with the user's name
	Terminal bool // control bytes would be obeyed: escape them
	Width    int  // of the terminal; 0: 80
}

// Printer prints rows. Cells come one after the other, whole or in pieces, and
// rows end by counting. An error of the writer is kept for Flush and Close.
type Printer struct {
	form   form
	out    *bufio.Writer
	cols   []command.Column
	users  bool
	user   string
	cell   int  // the next one of the row, or the open one
	open   bool // a cell was begun
	safe   *safeText
	closed bool
}

// form is one layout.
type form interface {
	head(cols []command.Column)
	begin(i int)       // cell i of a row
	text(piece []byte) // of the cell that was begun
	end(i int)         // of the cell
	row()              // after the last cell
	foot()             // after the last row
}

// Names are the formatters there are.
func Names() []string { return []string{"flow", "pager", "tab", "table", "json", "ndjson"} }

// New makes a printer for these columns; what follows the titles is up to
// Value. The columns are known before the first row, so that an empty result
// has its titles too.
func New(name string, w io.Writer, cols []command.Column, o Options) (*Printer, error) {
	if o.Users {
		cols = append([]command.Column{command.Username}, cols...)
	}
	p := &Printer{out: bufio.NewWriterSize(w, 32<<10), cols: cols, users: o.Users}
	switch name {
	case "flow":
		p.form = &flow{out: p.out, cols: cols}
	case "pager":
		p.form = &pager{out: p.out, cols: cols}
	case "tab":
		p.form = &tab{out: p.out, cols: cols, noHeader: o.NoHeader, escape: "\x01"}
		if o.Terminal {
			p.form.(*tab).escape = `\`
		}
	case "table":
		p.form = &table{out: p.out, cols: cols, noHeader: o.NoHeader, width: o.Width}
	case "json":
		p.form = &jsonArray{jsonText: jsonText{out: p.out, safe: o.Terminal}, cols: cols}
		o.Terminal = false
	case "ndjson":
		p.form = &ndjson{jsonText: jsonText{out: p.out, safe: true}, cols: cols, keys: uniqueKeys(cols)}
		o.Terminal = false
	default:
		return nil, fmt.Errorf("unknown formatter %s (known: %s)", command.Quote(name), strings.Join(Names(), ", "))
	}
	if o.Terminal { // the JSONs see to it themselves
		p.safe = &safeText{to: p.form.text}
	}
	p.form.head(cols)
	return p, nil
}

// User sets the name that the rows after it begin with.
func (p *Printer) User(name string) { p.user = name }

// Value prints a whole cell.
func (p *Printer) Value(value string) {
	p.Begin()
	p.Write([]byte(value))
	p.End()
}

// Begin starts a cell that comes in pieces.
func (p *Printer) Begin() {
	if len(p.cols) == 0 {
		return
	}
	if p.cell == 0 && p.users {
		p.begin()
		p.text([]byte(p.user))
		p.end()
	}
	p.begin()
}

// Write prints a piece of the cell that was begun.
func (p *Printer) Write(piece []byte) (int, error) {
	if p.open {
		p.text(piece)
	}
	return len(piece), nil
}

// End ends the cell, and with the last one the row.
func (p *Printer) End() {
	if p.open {
		p.end()
	}
}

func (p *Printer) begin() {
	p.form.begin(p.cell)
	p.open = true
}

func (p *Printer) text(piece []byte) {
	if p.safe != nil {
		p.safe.write(piece)
		return
	}
	p.form.text(piece)
}

func (p *Printer) end() {
	if p.safe != nil {
		p.safe.end()
	}
	p.form.end(p.cell)
	p.open = false
	if p.cell++; p.cell == len(p.cols) {
		p.form.row()
		p.cell = 0
	}
}

// Break ends a row that was cut short: what is missing is empty. Without it
// the next user's cells would shift.
func (p *Printer) Break() {
	p.End()
	for p.cell > 0 {
		p.Value("")
	}
}

// Flush writes what is complete: all but a table's rows that wait for their
// widths.
func (p *Printer) Flush() error { return p.out.Flush() }

// Close ends the output.
func (p *Printer) Close() error {
	if !p.closed {
		p.closed = true
		p.Break()
		p.form.foot()
	}
	return p.out.Flush()
}
