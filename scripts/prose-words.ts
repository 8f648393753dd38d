/** A phrase that readers stumble over, and what to write instead. Spaces stand for any white space. */
export type Phrase = readonly [phrase: RegExp, instead: string]

/** A phrase as a regular expression for whole words, in any case and over the end of a line. */
const phrase = (text: string): RegExp =>
  new RegExp(`(?<![\\w-])${text.replaceAll(' ', '\\s+')}(?![\\w-])`, 'gi')

const say = (instead: string, ...phrases: string[]): Phrase[] =>
  phrases.map((text) => [phrase(text), instead])

/** Phrases that no text for users, operators or contributors has. Add one here when a reader had to guess. */
export const PHRASES: readonly Phrase[] = [
  // "Media" is the plural; routes and JSON keep their names.
  ...say('a media item', 'an? media(?! (?:item|type|file|fragment|limit|server)s?)'),
  ...say('No such resource', 'nothing here for you'),
  ...say('expiry and clean-up', 'what time ends'),
  ...say('unexpected reply', 'talks? nonsense', 'gives? nonsense'),
  ...say('is unavailable', '(?:is|are|was|were) away'),
  ...say('no longer exists', '(?:is|are) no more'),
  ...say('is not available', 'to be had', '(?:could|can) not be had'),
  ...say('tolerated', 'put up with', 'puts up with'),
  ...say('nevertheless', 'all the same(?! time)'),
  ...say('again', 'anew'),
  ...say('permanently', 'for good(?! reason)', 'for the last time'),
  ...say('on the server side', 'on this side', 'reasons that lie with this server'),
  ...say('generates', 'makes? up(?! for)'),
  ...say('a space', 'a blank', 'blanks'),
  ...say('audio files', 'videos and sounds', 'a video or a sound', 'sounds and videos'),
  ...say('read-only', 'takes no writes', 'take no writes'),
  ...say('blocked', 'stands? still', 'stood still'),
  ...say('works, or runs', 'is at work'),
  ...say('without a message', 'without a word'),
  ...say('rollback', 'the way back'),
  ...say('a free connection', 'none comes free'),
  ...say('not, or without', 'is no (?:HTTP|clamd|ticket|backup|number|upload|id)'),
  ...say('another owner', 'somebody else’s', "somebody else's"),
  ...say('are isolated', '(?:are|is) kept apart'),
  ...say('use a shorter word', 'aforementioned', 'heretofore', 'thereof', 'whereupon', 'therein', 'wherein'),
  ...say('use', 'utili[sz]es?', 'utili[sz]ed'),
]

/** Phrases that comments do not have either: each needs no context to be a fault. */
export const COMMENT_PHRASES: readonly Phrase[] = [
  ...say('a media item', 'an? media(?! (?:item|type|file|fragment|limit|server|playlist)s?)'),
  ...say('is unavailable', '(?:is|are|was|were) away'),
  ...say('the process, request or worker that', 'whoever'),
  ...say('also, or included', 'be it'),
  ...say('expiry and clean-up', 'what time (?:ends|has ended)'),
  ...say('is not available', 'to be had'),
]

/** Headings begin with what the section is about, so that a table of contents can be read. */
export const HEADING_OPENERS = /^(?:what|who|whose|whom|where|when|why)\s/i

/** Words in a sentence; a code span, a link and a number count as one. */
export const MAX_WORDS = 45

/** Words in a paragraph that is not a list or a table: more are several subjects, which a list or a table tells apart. */
export const MAX_WORDS_IN_PARAGRAPH = 130
