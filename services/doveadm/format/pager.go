package format

import (
	"bufio"

	"culver/services/doveadm/command"
)

// pager prints a line for each cell and a form feed between rows.
type pager struct {
	out  *bufio.Writer
	cols []command.Column
	rows int
	last byte // of the cell
}

func (p *pager) head([]command.Column) {}
func (p *pager) foot()                 {}
func (p *pager) row()                  { p.rows++ }

func (p *pager) begin(i int) {
	// Dovecot leaves the form feed out where the first cell is streamed, except
	// when the value came over the wire in one piece. Always is what a reader
	// can rely on.
	if i == 0 && p.rows > 0 {
		p.out.WriteString("\f\n")
	}
	p.last = '\n'
	c := p.cols[i]
	switch {
	case c.Stream:
		p.out.WriteString(c.Title + ":\n")
	case !c.Hide:
		p.out.WriteString(c.Title + ": ")
	}
}

func (p *pager) text(piece []byte) {
	if len(piece) > 0 {
		p.out.Write(piece)
		p.last = piece[len(piece)-1]
	}
}

// end adds a line end. A streamed value has its own; where it lacks one, the
// next title would stick to the value's last line. The last cell stays as it
// is, byte for byte.
func (p *pager) end(i int) {
	if !p.cols[i].Stream || p.last != '\n' && i < len(p.cols)-1 {
		p.out.WriteByte('\n')
	}
}
