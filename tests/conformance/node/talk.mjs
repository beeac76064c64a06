// What every program here says to the other side: one line of JSON per check, {name, failure}, and its orders.
import { createInterface } from 'node:readline'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
export const input = async () => JSON.parse((await lines.next()).value)
export const say = message => process.stdout.write(JSON.stringify(message) + '\n')

export async function check(name, test) {
  try {
    await test()
    say({ name, failure: null })
  } catch (error) {
    say({ name, failure: String(error?.stack ?? error) })
  }
}

// Asks the other side to do something to the pool, and waits until it is done.
export async function order(what) {
  say({ order: what })
  await input()
}

export function done() {
  say({ done: true })
  process.exit(0)
}
