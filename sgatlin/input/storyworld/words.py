# SPDX-License-Identifier: Apache-2.0
"""Who lives in the story world and what it holds: the words that templates draw from.

Lists run from common to rare: a word's weight falls with its place in the list.
"""

from typing import NamedTuple

GIRLS = """Mia Anna Lucy Emma Sara Zoe Ella Nora Amy Kate Molly Lena Maya Clara Jane Nina Tess
Polly Alice Ruth Hannah Julia Bella Sophie Maria Lola Eva Leah Rita Tina Cora Ida Elsa Betsy Wendy
Fiona Heidi Greta Stella Gemma""".split()

BOYS = """Tom Ben Tim Sam Leo Max Jack Finn Noah Luke Adam Dan Eli Fred Harry Jake Kai Theo Toby
Oscar Peter Simon Hugo Felix Milo Ned Paul Liam Ivan Joe George Ian Ralph Victor Walt Alex David
Ethan Gus Kevin""".split()

SHE_BEASTS = """Tilly Dotty Pippa Hettie Nibbles Trixie Mimi Bonnie Coco Fifi Lulu Tansy Winnie
Minty Bitsy Posy Zuzu Dilly Hattie Suki Tuppy Nutmeg Bibi Dolly Elfie Flossie""".split()

HE_BEASTS = """Pip Rollo Marlow Chester Biscuit Rufus Boris Dash Fergus Monty Otto Wilbur Ziggy
Barney Tuck Jasper Bumble Moe Snuff Percy Rusty Basil Alfie Bertie Chip Digby""".split()

SURNAMES = """Potter Parker Dobson Tucker Baxter Murphy Watson Nelson Jensen Lopez Patel Kimura
Rossi Novak""".split()


class Beast(NamedTuple):
    """An animal that can be the hero or the friend of a story in the woods."""

    noun: str
    homes: str
    hobby: str


BEASTS = (
    Beast("squirrel", "in a chestnut tree|in a pine", "count nuts"),
    Beast("fox", "in a den under some roots|at the edge of a field", "tell riddles"),
    Beast("bear", "in a hollow by a stream|behind a waterfall", "pick berries"),
    Beast("badger", "in a tidy den|under a chestnut tree", "dig tunnels"),
    Beast("duck", "on a pond|in the reeds", "splash all day"),
    Beast("pig", "on a small farm|in a little straw house", "play in the mud"),
    Beast("goat", "on a rocky slope|in a shed by the mill", "climb rocks"),
    Beast("rabbit", "under a bush|in a hole by the meadow", "jump over daisies"),
    Beast("frog", "on a lily pad|by a muddy pond", "sing in the rain"),
    Beast("dog", "on a farm|in a yard by the mill", "chase sticks"),
    Beast("otter", "by a stream|under a willow", "slide down muddy banks"),
    Beast("hedgehog", "under a heap of leaves|beneath a hedge", "roll in the leaves"),
    Beast("cat", "in a barn|at the mill", "sit on fence posts"),
    Beast("beaver", "in a lodge on a stream|behind a dam", "build dams"),
    Beast("deer", "in a green valley|between the birches", "dance in the mist"),
    Beast("raccoon", "in a hollow trunk|behind an inn", "wash pebbles"),
    Beast("hen", "in a henhouse|on a farm", "scratch for corn"),
    Beast("kitten", "in a hay barn|in a basket at the mill", "chase butterflies"),
    Beast("puppy", "on a farm|in a kennel by the mill", "chase leaves"),
    Beast("mouse", "in a hole under a barn|behind a mill", "collect crumbs"),
    Beast("lamb", "in a meadow|on a farm", "hop over fences"),
    Beast("pony", "in a red stable|in a clover field", "gallop in the rain"),
    Beast("turtle", "by a quiet pond|under a mossy log", "nap in the clover"),
    Beast("donkey", "on a farm|behind the mill", "munch thistles"),
    Beast("goose", "by a pond|in the reeds", "give orders"),
    Beast("mole", "under a garden|in a tunnel", "dig in the earth"),
    Beast("monkey", "in a jungle tree|among the palms", "swing from branches"),
    Beast("panda", "in a bamboo grove|on a misty slope", "roll down banks"),
    Beast("calf", "in a stable|in a meadow", "sniff at flowers"),
    Beast("koala", "in a gum tree|in a leafy treetop", "cuddle up in the leaves"),
)

# Too big, too small or too winged for most plots: these only play where a plot asks for them.
RARE_BEASTS = (
    Beast("lion", "in the grassland|between the rocks", "roar at the moon"),
    Beast("elephant", "by a water hole|at the edge of the jungle", "take mud baths"),
    Beast("giraffe", "in the grassland|among the palms", "nibble at treetops"),
    Beast("peacock", "in a park|in the garden of a palace", "strut up and down"),
    Beast("parrot", "in a palm tree|at the edge of the jungle", "sing"),
    Beast("bee", "in a hive|in a hollow trunk", "hum"),
    Beast("spider", "under a roof|between two twigs", "weave"),
)

# Those who help or advise; the grown-ups of the woods.
ELDER_BEASTS = (
    "owl", "bear", "elephant", "turtle", "goose", "giraffe", "lion", "badger", "goat", "peacock",
    "donkey", "swan", "moose", "stork", "crane",
)  # fmt: skip

GROWN_UPS = (
    "Farmer {surname}", "Miss {surname}", "Captain {surname}", "Doctor {surname}", "Aunt {aunt}",
    "Uncle {uncle}", "Baker {surname}", "Gardener {surname}", "Nurse {surname}",
    "Sailor {surname}", "Granny {surname}", "Coach {surname}", "Professor {surname}",
    "Mayor {surname}", "Pilot {surname}", "Fisherman {surname}", "Carpenter {surname}",
    "Librarian {surname}", "Sheriff {surname}", "Conductor {surname}", "Tailor {surname}",
)  # fmt: skip

HOUSES = (
    "in a small house by the sea", "in a village", "on a farm", "in a big city",
    "in a white house with a garden", "in a little town", "near the park", "next to a bakery",
    "on a quiet street", "in a cottage at the edge of the woods", "above a toy shop",
    "near the harbor", "in a house with a green door", "at the end of a lane", "on an island",
    "on a houseboat", "in a lighthouse", "by the railway station", "across from the school",
    "in the last house before the fields", "beside the library", "next to the post office",
    "near the fire station", "above a bookshop", "behind the theater", "near the airport",
    "in a trailer by the woods", "on a ship",
)  # fmt: skip

HOBBIES = (
    "paint", "sing", "climb trees", "ride a bike", "read", "dance", "collect shells", "bake",
    "draw horses", "build towers", "look at the stars", "play the flute", "skip rope", "whistle",
    "tell jokes", "plant seeds", "fly kites", "dig for treasure", "swim", "make paper boats",
    "watch birds", "invent games", "play chess", "sew", "carve wood", "juggle", "knit",
    "collect stamps", "solve puzzles", "roller skate", "write poems", "ride horses", "catch frogs",
    "cook", "play marbles", "make masks", "study ants",
)  # fmt: skip

KINDS = """little young cheerful friendly happy kind lively thoughtful polite merry dreamy helpful
cheeky""".split()

TABLES: dict[str, tuple[str, ...]] = {
    "colour": (
        "red", "blue", "green", "yellow", "white", "brown", "pink", "purple", "orange", "black",
        "gray", "silver", "violet", "turquoise", "beige",
    ),
    "fine": (
        "sunny", "fine", "lovely", "clear", "breezy", "mild", "windy", "beautiful", "perfect",
        "crisp", "calm", "pleasant", "glorious", "golden",
    ),
    "time": ("morning", "day", "afternoon"),
    "weekday": ("Monday", "Friday", "Tuesday", "Thursday", "Wednesday"),
    "month": ("June", "April", "September", "July", "August"),
    "happy": (
        "happy", "glad", "pleased", "cheerful", "delighted", "thrilled", "joyful", "overjoyed",
        "merry", "content", "elated",
    ),
    "sad": ("sad", "unhappy", "upset", "gloomy", "miserable", "glum", "heartbroken", "downcast"),
    "scared": ("scared", "afraid", "frightened", "nervous", "alarmed", "terrified"),
    "afraid": ("afraid", "scared", "frightened"),
    "cross": ("angry", "cross", "grumpy", "annoyed", "furious", "mad"),
    "dear": ("my dear", "little one", "sweetheart", "darling", "dear"),
    "treat": (
        "cake", "peach", "cookie", "bun", "pie", "muffin", "pancake", "sandwich", "pear", "melon",
        "tart", "waffle", "pretzel", "doughnut", "bagel", "plum", "mango", "coconut", "cupcake",
        "brownie", "croissant", "strudel", "gingerbread man",
    ),
    "fruits": (
        "apples", "berries", "cherries", "pears", "plums", "strawberries", "grapes", "raspberries",
        "figs", "blueberries", "apricots", "oranges", "bananas", "blackberries", "tangerines",
        "kiwis", "nectarines", "gooseberries", "papayas",
    ),
    "meal": (
        "soup", "pancakes", "noodles", "pasta", "pizza", "porridge", "stew", "rice and beans",
        "dumplings", "potatoes", "omelet", "toast", "salad", "lasagna", "curry", "sausages",
        "meatballs", "ravioli",
    ),
    "drink": (
        "milk", "tea", "cocoa", "juice", "lemonade", "cider", "hot chocolate", "apple juice",
    ),
    "toy": (
        "ball", "doll", "teddy bear", "truck", "robot", "train", "boat", "puppet", "rocket",
        "spinning top", "tractor", "whistle", "marble", "tambourine", "toy horse", "dinosaur",
        "airplane", "racing car", "tin soldier", "wooden horse",
    ),
    "wear": (
        "hat", "scarf", "coat", "cap", "sweater", "jacket", "shirt", "cape", "apron", "vest",
        "raincoat", "poncho", "beret", "cardigan", "hood",
    ),
    "tree": (
        "apple tree", "willow", "chestnut tree", "birch", "cherry tree", "pine", "maple", "beech",
        "pear tree", "elm", "walnut tree", "fir", "cedar", "poplar", "hazel bush", "plum tree",
        "lime tree", "fig tree",
    ),
    "flower": (
        "daisies", "tulips", "poppies", "violets", "roses", "sunflowers", "buttercups",
        "bluebells", "lilies", "snowdrops", "pansies", "daffodils", "marigolds", "dandelions",
        "peonies", "primroses", "cornflowers", "asters", "orchids", "hyacinths",
    ),
    "bird": (
        "sparrow", "robin", "blackbird", "wren", "finch", "swallow", "blue jay", "lark",
        "starling", "thrush", "pigeon", "dove", "woodpecker", "nightingale", "goldfinch",
        "kingfisher",
    ),
    "pet": (
        "cat", "dog", "kitten", "puppy", "hamster", "parrot", "rabbit", "turtle", "canary",
        "guinea pig", "pony",
    ),
    "culprit": ("the cat", "the dog", "the puppy", "the kitten", "the hamster", "the canary"),
    "see": (
        "ship", "horse", "dragon", "rabbit", "shoe", "whale", "teapot", "sleeping giant", "snail",
        "crocodile", "pancake", "hand", "fish", "crown", "swan", "mushroom", "camel", "pirate",
        "penguin", "lighthouse", "octopus", "windmill", "umbrella", "kangaroo", "bicycle",
        "wizard", "mermaid", "sailboat", "cactus", "hippo", "zebra", "peanut", "flamingo",
        "volcano",
    ),
    "stray": ("cat", "dog", "kitten", "puppy"),
    "petname": (
        "Sooty", "Scout", "Fuzzy", "Whiskers", "Domino", "Misty", "Pickles", "Pixie", "Winston",
        "Smokey", "Toffee", "Fudge", "Snowy", "Tango", "Gizmo", "Peewee",
    ),
    "third": ("third", "fourth", "fifth", "sixth", "seventh", "tenth"),
    "surname": tuple(SURNAMES),
    "box": (
        "box", "basket", "bag", "jar", "chest", "bucket", "tin", "trunk", "crate", "barrel",
        "suitcase", "case", "drawer",
    ),
    "number": (
        "three", "two", "four", "five", "six", "seven", "ten", "eight", "nine", "twelve", "eleven",
        "twenty",
    ),
    "cup": ("cup", "glass", "mug", "bowl"),
    "seat": (
        "chair", "bench", "stool", "sofa", "rug", "step", "bed", "rocking chair", "armchair",
        "couch", "hammock",
    ),
    "tune": (
        "song", "tune", "melody", "march", "lullaby", "waltz", "polka", "ballad", "hymn",
        "serenade",
    ),
    "music": (
        "violin", "flute", "guitar", "piano", "trumpet", "harp", "banjo", "horn", "recorder",
        "accordion", "cello", "xylophone", "ukulele", "clarinet", "harmonica", "tuba", "mandolin",
        "saxophone",
    ),
    "trinket": (
        "button", "shell", "marble", "ring", "bead", "whistle", "ribbon", "bell", "pebble",
        "acorn", "buckle", "thimble", "magnet", "medal", "locket", "badge", "compass", "brooch",
        "fossil", "pinecone", "seashell",
    ),
    "dream": (
        "flying over the sea", "a ship with golden sails", "dancing stars", "a land of cake",
        "a train to the moon", "sliding down a rainbow", "a garden in the sky", "talking fish",
        "a friendly dragon", "sailing on a leaf", "a parade of snails", "swimming with whales",
        "a flying carpet", "marching pencils", "a singing teapot", "a bicycle with wings",
        "a whale with a garden on its back", "dancing spoons",
    ),
}  # fmt: skip

PARENTS = ("Mom", "Dad", "Mama", "Papa")
BEAST_PARENTS = ("Mama", "Papa")
GRANDPARENTS = ("Grandma", "Grandpa")
SHE_TIES = (
    "friend", "best friend", "sister", "cousin", "neighbor", "big sister", "little sister",
    "classmate",
)  # fmt: skip
HE_TIES = (
    "friend", "best friend", "brother", "cousin", "neighbor", "big brother", "little brother",
    "classmate",
)  # fmt: skip
