package golden

import (
	"regexp"
	"strings"
)

var (
	aFlag    = regexp.MustCompile(`^ +(-\w, )?--[\w-]+( \w+)?`)
	aDefault = regexp.MustCompile(` \(default .*\)$`)
)

// outline is what a help page demands of scripts and habits: its sections, the names
// of commands, flags with their types and defaults, the lines that show the usage.
// What things are for is said in words of our own.
func outline(page string) string {
	var out strings.Builder
	keep := func(line string) { out.WriteString(line + "\n") }
	section := ""
	// Before the usage stands what the command is for, or an error.
	started := !strings.Contains(page, "Usage:\n")
	for _, line := range strings.Split(page, "\n") {
		indented := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		switch {
		case strings.HasPrefix(line, "Error: ") || strings.HasPrefix(line, "Unknown help topic"):
			keep(line)
		case line == "Usage:":
			started, section = true, line
			keep(line)
		case !started:
		case line == "" && section == "Examples:":
		case !indented:
			if line != "" {
				section = line
			}
			keep(line)
		case section == "Usage:" || strings.HasPrefix(section, "Did you mean"):
			keep(line)
		case section == "Examples:":
		case aFlag.MatchString(line):
			keep(aFlag.FindString(line) + aDefault.FindString(line))
		default:
			keep("  " + strings.Fields(line)[0])
		}
	}
	return out.String()
}
