package worker

import "time"

// zone is the server's, in which calendar days and times of messages are
// meant. /etc/localtime is outside the box, so the settings bring it along.
func (c *call) zone() *time.Location {
	if c.local == nil {
		c.local = time.Local
		if zone := c.settings["zoneinfo"]; zone != "" {
			if l, err := time.LoadLocationFromTZData("Local", []byte(zone)); err == nil {
				c.local = l
			}
		}
	}
	return c.local
}
