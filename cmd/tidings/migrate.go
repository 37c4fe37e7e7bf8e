package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newMigrate(d *deps) *cobra.Command {
	var restored bool
	c := &cobra.Command{
		Use: "migrate", Short: "Bring the database's schema up to date", Args: noArgument,
		Long: `Bring the database's schema up to date. Servers do it themselves when they start; run it before a deployment to
see that it works while the old version still serves.

After PostgreSQL was restored from a backup, or failed over to a standby that lacked the last commits, run it with --restored
before the servers start: pages then load their inboxes anew, since the numbers of their messages may mean others now.`,
		RunE: func(c *cobra.Command, _ []string) error {
			db, cfg, err := openRecord(c, d)
			if err != nil {
				return err
			}
			d.printer(c).line("the schema of %s is up to date", mask("database-url", databaseURL(cfg)))
			if restored {
				if err := db.Restored(c.Context()); err != nil {
					return errors.Join(err, db.Close())
				}
				d.printer(c).line("it is another record from now on: pages load their inboxes anew")
			}
			return db.Close()
		},
	}
	c.Flags().BoolVar(&restored, "restored", false, "the database was restored, or a standby without the last commits took over")
	return withSettings(c, forStores, forLogs)
}
