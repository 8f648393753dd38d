import { describe, expect, it } from 'vitest'
import { CASES, type Case } from './cases.ts'
import { isWanted, openPeers, peerNamesOf } from './choose-peers.ts'
import { parseOptions } from './options.ts'
import { PEERS } from './subjects/subject.ts'

function choiceOf(...args: string[]) {
  const options = parseOptions(args)
  if (!options) throw new Error('help was asked for')
  return options
}

function caseOf(name: string): Case {
  const found = CASES.find((which) => which.name === name)
  if (!found) throw new Error(`no case ${name}`)
  return found
}

describe('the peers of a case', () => {
  it('are its own, of which raw is on disk alone', () => {
    expect(peerNamesOf(choiceOf(), caseOf('one-patch'), 'disk')).toEqual(['stock', 'raw', 'tusd'])
    expect(peerNamesOf(choiceOf(), caseOf('one-patch'), 's3')).toEqual(['stock', 'tusd'])
    expect(peerNamesOf(choiceOf(), caseOf('paced'), 'disk')).toEqual(['stock'])
    expect(peerNamesOf(choiceOf('--long'), caseOf('long'), 'disk')).toEqual([])
  })
  it('are those that are named, in every case', () => {
    const choice = choiceOf('--peers', 'tusd,raw')
    expect(peerNamesOf(choice, caseOf('paced'), 'disk')).toEqual(['raw', 'tusd'])
    expect(peerNamesOf(choice, caseOf('paced'), 's3')).toEqual(['tusd'])
  })
  it('are none beside another checkout, unless they are named', () => {
    expect(peerNamesOf(choiceOf('--before', 'x'), caseOf('one-patch'), 'disk')).toEqual([])
    const choice = choiceOf('--before', 'x', '--peers', 'raw')
    expect(peerNamesOf(choice, caseOf('one-patch'), 'disk')).toEqual(['raw'])
  })
  it('are installed only for a case that is measured beside them', () => {
    expect(isWanted(choiceOf(), 'tusd')).toBe(true)
    expect(isWanted(choiceOf('--only', 'paced'), 'tusd')).toBe(false)
    expect(isWanted(choiceOf('--peers', 'stock,raw'), 'tusd')).toBe(false)
    expect(isWanted(choiceOf('--before', 'x'), 'tusd')).toBe(false)
  })
  it('go without tusd where it cannot be installed', () => {
    const names = (installed: Parameters<typeof openPeers>[1]) =>
      openPeers(PEERS, installed).map(({ name }) => name)
    expect(names({ program: '/tusd' })).toEqual(['stock', 'raw', 'tusd'])
    expect(names({ lack: 'no go' })).toEqual(['stock', 'raw'])
    expect(openPeers(['raw'], { program: '/tusd' }).map(({ name }) => name)).toEqual(['raw'])
  })
})
