/** Keys of an upload's metadata that say what its file is, and which file a partial upload is for. */
const FILE_KEYS = {
  filename: 'the name of the file',
  name: 'the same',
  filetype: 'its media type',
  type: 'the same',
  whole: 'the file that a partial upload is for',
  wholesize: 'the bytes of that file',
} as const

/** Keys that describe the file for people and for the application. */
const ABOUT_KEYS = {
  attachedToType: 'what it belongs to: the type',
  attachedToId: 'what it belongs to: the id',
  title: 'its title',
  description: 'its description',
  captions: 'the languages of its captions',
} as const

/**
 * Every key of an upload's metadata that Landfall reads, and what it means. All others are the application's own and are
 * told as they are. The function `landfall.described` has the same keys: `description.test.ts` compares them.
 */
export const READ_KEYS = { ...FILE_KEYS, ...ABOUT_KEYS } as const

/** The keys that describe the file for people and for the application. */
export const DESCRIPTION_KEYS = Object.keys(ABOUT_KEYS) as readonly (keyof typeof ABOUT_KEYS)[]

export type ReadKey = keyof typeof READ_KEYS

export const isReadKey = (key: string): key is ReadKey => Object.hasOwn(READ_KEYS, key)

/** Whether a value under this key is read forgivingly, as clients of tus send it. */
export const isFileKey = (key: string): boolean => Object.hasOwn(FILE_KEYS, key)
