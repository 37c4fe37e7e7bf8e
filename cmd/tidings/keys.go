package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newKeys(d *deps) *cobra.Command {
	return newGroup("keys", "The keys under which secrets and addresses are kept", d.newKeysRotate())
}

func (d *deps) newKeysRotate() *cobra.Command {
	return withOutput(withSettings(&cobra.Command{
		Use: "rotate", Short: "Seal addresses and integrations' secrets anew under TIDINGS_SECRET", Args: noArgument,
		Long: `Seals every address and every integration's secrets that another master secret sealed (TIDINGS_SECRET_OLD) anew under TIDINGS_SECRET.
Other processes go on meanwhile, if they know both. Stopped in its middle, it goes on where it was when it is run again.

  1. start every process with TIDINGS_SECRET_OLD=<new>, so that all can read both
  2. start every process with TIDINGS_SECRET=<new> TIDINGS_SECRET_OLD=<old>: from now on the new one seals and signs
  3. tidings keys rotate, with the same two
  4. when it says that all is done and the SMS sent before step 2 have had their reports, start every process without TIDINGS_SECRET_OLD.
     Unsubscribe links from before step 2 end with it`,
		RunE: func(c *cobra.Command, _ []string) error {
			db, _, err := openRecord(c, d)
			if err != nil {
				return err
			}
			defer db.Close() //nolint:errcheck // what is written is committed
			p := d.printer(c)
			done, lost, err := db.Reseal(c.Context(), func(done, of int) {
				if !p.json {
					p.line("%d of %d", done, of)
				}
			})
			if err != nil {
				return err
			}
			if p.json {
				if err := p.value(map[string]int{"sealed": done, "lost": lost}); err != nil {
					return err
				}
			} else {
				p.line("%d sealed anew; all else was under the current secret", done)
			}
			if lost > 0 {
				return fmt.Errorf("%d cannot be opened with TIDINGS_SECRET or TIDINGS_SECRET_OLD and stay as they are; the log names them", lost)
			}
			return nil
		},
	}, forStores, forLogs))
}
