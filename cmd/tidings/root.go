package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// deps is what every command works with.
type deps struct {
	getenv      func(string) string
	out, errout io.Writer
}

const rootLong = `Tidings pushes messages from a company's internal systems to its merchants:
to the web page, the mobile app and the phone.

Try it:   tidings up --demo
Servers:  up, or api, worker and comet
Settings: flags, then TIDINGS_* in the environment, then tidings.yaml; 'tidings config' prints them all`

// newRoot builds the tree of commands.
func newRoot(d *deps) *cobra.Command {
	root := &cobra.Command{
		Use: "tidings", Short: "Message push for merchants", Long: rootLong,
		SilenceUsage: true, SilenceErrors: true,
		Args: noArgument, RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return &usageError{c.CommandPath(), err} })
	root.PersistentFlags().String("config", "", "file of settings (default tidings.yaml, when it exists)")
	root.AddGroup(&cobra.Group{ID: "server", Title: "Servers:"}, &cobra.Group{ID: "client", Title: "Messages (clients of /v1):"},
		&cobra.Group{ID: "admin", Title: "Platform and directory (clients of /v1):"}, &cobra.Group{ID: "stores", Title: "Operation (open the stores):"})
	add := func(group string, cs ...*cobra.Command) {
		for _, c := range cs {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("server", newUp(d), newAPI(d), newWorker(d), newComet(d))
	add("client", newSend(d), newTail(d), newMessage(d), newBroadcast(d), newReplay(d), newDeadLetter(d), newHistory(d), newMark(d), newPreferences(d), newToken(d))
	add("admin", newAccount(d), newApp(d), newType(d), newTemplate(d), newKey(d), newEndpoint(d), newQuota(d), newIntegration(d), newProvider(d), newMerchant(d), newStore(d), newUser(d), newImport(d), newQueue(d), newPresence(d))
	add("stores", newMigrate(d), newAudit(d), newDoctor(d), newConfig(d), newKeys(d))
	root.AddCommand(newSeed(d), newSimulate(d))
	checkArgs(root)
	return root
}

// newGroup makes a command that only holds others.
func newGroup(use, short string, cs ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: noArgument, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	g.AddCommand(cs...)
	return g
}

// noArgument refuses arguments; on a command that holds others it names the nearest of them.
func noArgument(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !c.HasAvailableSubCommands() {
		return fmt.Errorf("takes no argument, not %q", args[0])
	}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("no command %q; did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return fmt.Errorf("no command %q", args[0])
}

// arguments asks for exactly these arguments and names the one that is missing.
func arguments(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fmt.Errorf("%s is missing", names[len(args)])
		}
		if len(args) > len(names) {
			return fmt.Errorf("one argument too many: %q", args[len(names)])
		}
		return nil
	}
}

// checkArgs makes every refusal of arguments in the tree a usageError.
func checkArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return &usageError{c.CommandPath(), err}
			}
			return nil
		}
	}
	c.SuggestionsMinimumDistance = 2
	for _, sub := range c.Commands() {
		checkArgs(sub)
	}
}
