# SPDX-License-Identifier: Apache-2.0
"""Asides indoors: a fact stated in passing, and something that follows from it."""

# In a child's house, when there is something to think about.
HOME = {
    "puddle": (
        "On the step outside lay a puddle. The puddle was shallow, and a bird drank from it.",
    ),
    "honey": ("{Parent} stirred honey into some milk. The honey was sweet.",),
    "carrot": ("{Parent} gave {him} a carrot. The carrot was crunchy, and it helped a little.",),
    "pillow": (
        "{Hero} sat down on a pillow by the window. The pillow was soft.",
        "There lay a pillow on the bench. The pillow was soft, and {hero} leaned on it.",
    ),
    "blanket": (
        "{Parent} put a blanket around {him}. The blanket was warm.",
        "{Hero} curled up under a blanket. The blanket was warm, and {he} felt better.",
    ),
    "vase": (
        "There stood a vase on the shelf. The vase was fragile, so {he} walked past on tiptoe.",
        "{Parent} put flowers in a vase. The vase was fragile, and {he} did not touch it.",
    ),
    "drum": (
        "In the next room somebody beat a drum. The drum was loud, and the cups shook.",
        "{Hero} pushed {his} drum under the bed. The drum was loud and not for [today|the house].",
    ),
    "soup": (
        "{Parent} had made soup. The soup was delicious, and {hero} ate two bowls.",
        "There was soup on the stove. The soup was delicious, and it smelled of"
        " [herbs|beans|onions].",
    ),
    "bread": (
        "{Parent} cut some bread. The bread was fresh, and the crust cracked.",
        "The smell of bread came from the kitchen. The bread was fresh.",
    ),
    "sun": (
        "The sun was bright and shone through the curtains.",
        "Outside, the sun was bright.",
    ),
    "lake": (
        "Outside the window lay a lake. The lake was deep and still.",
        "On the wall hung a picture of a lake. The lake was deep and blue.",
    ),
    "river": ("Through the window {he} could see a river. The river was wide.",),
    "mountain": (
        "Through the window {he} could see a mountain. The mountain was high.",
        "On the wall hung a picture of a mountain. The mountain was high.",
    ),
    "forest": ("Behind the house rustled the forest. The forest was dark.",),
    "oak": ("Outside the window stood an oak. The oak was old, and it creaked.",),
    "road": ("{Hero} looked down the road. The road was long, and nobody came along it.",),
    "hill": ("Rain ran down the hill in front of the house. The hill was steep.",),
    "market": ("Noise came up from the market. The market was crowded that day.",),
    "feather": (
        "A feather slipped out of a cushion. The feather was light and sailed to the lamp.",
    ),
    "coin": ("{Hero} found a coin under the rug. The coin was shiny.",),
    "lemon": ("{Parent} cut a lemon for the tea. The lemon was sour.",),
    "peach": ("{Parent} gave {him} a peach. The peach was juicy.",),
    "cheese": (
        "Something smelled in the kitchen. The cheese was smelly again.",
        "{Parent} cut some cheese. The cheese was smelly, but it tasted good.",
    ),
    "cloud": ("{Hero} looked out at a cloud. The cloud was fluffy and did not hurry.",),
}

# The same in an animal's home.
DEN = {
    "puddle": ("In front of the door lay a puddle. The puddle was shallow.",),
    "lemon": ("{Parent} squeezed a lemon. The lemon was sour, and {hero} made a face.",),
    "carrot": ("{Parent} gave {him} a carrot. The carrot was crunchy, and it helped a little.",),
    "pillow": (
        "There was a pillow made of moss. The pillow was soft, and {hero} sat down on it.",
        "{Hero} lay back on a pillow of grass. The pillow was soft.",
    ),
    "blanket": (
        "{Hero} pulled a blanket around {his} ears. The blanket was warm.",
        "{Parent} put a blanket around {him}. The blanket was warm.",
    ),
    "soup": (
        "{Parent} had made soup. The soup was delicious, and {hero} ate two bowls.",
        "A pot of soup stood on the fire. The soup was delicious and smelled of [herbs|mushrooms].",
    ),
    "bread": ("{Parent} cut some bread. The bread was fresh, and the crust cracked.",),
    "honey": (
        "{Hero} licked a spoon of honey. The honey was sweet, and that helped a little.",
        "There was honey for breakfast. The honey was sweet.",
    ),
    "spider": (
        "A spider lived by the door. The spider was patient and never got angry.",
        "In the corner hung a spider. The spider was patient and worked without a word.",
    ),
    "ladder": ("There was a ladder by the door. The ladder was wobbly, so nobody used it.",),
    "feather": (
        "A feather blew in through the door. The feather was light and landed on {his} nose.",
    ),
    "sun": (
        "Outside, the sun was bright.",
        "The sun was bright and warmed the doorstep.",
    ),
    "cloud": ("{Hero} looked out at a cloud. The cloud was fluffy and did not hurry.",),
    "vase": ("There stood a vase by the door. The vase was fragile and held one blue flower.",),
    "ball": ("{Hero} kicked a ball against the door. The ball was round and always came back.",),
}

# In the house, when something happens.
PETS = {
    "cat": (
        "The cat was lazy and slept through it all.",
        "The cat was lazy and only lifted one ear.",
        "A cat lay by the stove. The cat was lazy and did not even look up.",
    ),
    "dog": (
        "The dog was loyal and stayed by {his} side.",
        "The dog was loyal. It put its head on {his} knee.",
        "Under the table sat a dog. The dog was loyal and watched {him}.",
    ),
    "kitten": (
        "The kitten was curious and came to see.",
        "A kitten looked in at the door. The kitten was curious and sniffed at everything.",
    ),
    "spider": (
        "A spider sat in the corner. The spider was patient and waited for dinner.",
        "A spider hung by the window. The spider was patient and never said a word.",
    ),
    "parrot": (
        'The parrot was noisy that day. "What now? What now?" it called.',
        "A parrot sat in the kitchen. The parrot was noisy and sang along with the kettle.",
    ),
    "mouse": (
        "A mouse peeked out from behind the stove. The mouse was tiny, and nobody saw it.",
        "A mouse had a hole in that wall. The mouse was tiny and kept very still.",
    ),
    "vase": (
        "There stood a vase on the shelf. The vase was fragile, so {he} walked past on tiptoe.",
        "The vase on the table shook. The vase was fragile, but nothing happened to it.",
    ),
    "drum": (
        "In the next room somebody beat a drum. The drum was loud, and the cups shook.",
        "Somewhere somebody played a drum. The drum was loud, and {he} hummed along.",
    ),
    "ladder": (
        "{Hero} bumped into a ladder. The ladder was wobbly, but it did not fall.",
        "There stood a ladder in the hall. The ladder was wobbly, so {he} kept away from it.",
    ),
    "ball": (
        "A ball rolled out from under a chair. The ball was round, and it did not stop until it"
        " hit the door.",
        "{Hero} stepped on a ball. The ball was round, and {he} almost fell.",
    ),
}

KITCHEN = {
    "sun": ("The sun was bright, and the pots gleamed.",),
    "vase": ("{Hero} pushed the vase aside. The vase was fragile, and it needed a safe place.",),
    "ladder": (
        "{Hero} needed a ladder to reach the shelf. The ladder was wobbly, but {parent} held it.",
    ),
    "lemon": (
        "{Hero} licked a slice of lemon. The lemon was sour, and {he} made a funny face.",
        "{Parent} squeezed a lemon. The lemon was sour, so there had to be sugar too.",
    ),
    "honey": (
        "{Hero} stirred in some honey. The honey was sweet, and {he} licked the spoon.",
        "{Hero} dipped a spoon into the honey. The honey was sweet.",
    ),
    "bread": (
        "{Parent} cut some bread. The bread was fresh and still steamed.",
        "There was bread on the table. The bread was fresh, so they had a slice each.",
    ),
    "peach": (
        "{Hero} bit into a peach. The peach was juicy, and it ran down {his} chin.",
        "{Parent} cut up a peach. The peach was juicy, and {hero} got the first piece.",
    ),
    "soup": (
        "The soup was delicious already, but that was for dinner.",
        "On the stove stood yesterday's soup. The soup was delicious, and they ate it while they"
        " worked.",
    ),
    "carrot": (
        "{Hero} chewed on a carrot. The carrot was crunchy. Crack, crack, it went.",
        "{Parent} peeled a carrot. The carrot was crunchy, and {hero} ate half of it.",
    ),
    "cheese": (
        "{Hero} opened a box. The cheese was smelly, so {he} closed it again at once.",
        "{Parent} took out the cheese. The cheese was smelly, but they both liked it.",
    ),
}

# In the story that a parent reads.
BOOK = {
    "lion": (
        "{Parent} read a story about a lion. The lion was brave and saved a whole village.",
        "The story had a lion in it. The lion was brave and chased away the night.",
    ),
    "elephant": (
        "{Parent} read a story about an elephant. The elephant was huge but danced on its toes.",
        "There was an elephant in the book. The elephant was huge and filled two pages.",
    ),
    "giraffe": (
        "{Parent} read about a giraffe. The giraffe was tall and wore three scarves.",
        "The book had a giraffe on the cover. The giraffe was tall and did not fit on the page.",
    ),
    "monkey": (
        "{Parent} read about a monkey. The monkey was silly and ate soap.",
        "In the book lived a monkey. The monkey was silly and put shoes on its hands.",
    ),
    "bear": (
        "{Parent} told a story about a bear. The bear was strong and carried the moon home.",
        "The story began with a bear. The bear was strong and helped everyone.",
    ),
    "castle": (
        "{Parent} told a story about a castle. The castle was grand, and a frog was its king.",
        "In the story stood a castle. The castle was grand, but nobody lived there.",
    ),
    "mountain": (
        "{Parent} told a story about a mountain. The mountain was high, and a giant slept on it.",
    ),
    "fox": (
        "{Parent} read about a fox. The fox was clever and fooled three [wolves|kings].",
        "The story had a fox in it. The fox was clever and always got away.",
    ),
    "owl": (
        "{Parent} read about an owl. The owl was wise and kept a school for bats.",
        "There was an owl in the story. The owl was wise and knew what to do.",
    ),
    "peacock": ("The book showed a peacock. The peacock was proud of each of its feathers.",),
    "donkey": (
        "{Parent} read about a donkey. The donkey was stubborn and sat down in the sea.",
        "The story had a donkey in it. The donkey was stubborn and said no a hundred times.",
    ),
    "deer": ("{Parent} told a story about a deer. The deer was shy, but it made one friend.",),
    "cave": ("The story began in a cave. The cave was damp, and a small dragon lived there.",),
    "forest": ("The story began in a forest. The forest was dark, but a lamp shone far away.",),
}

BED = {
    "pillow": ("{He} put {his} head on the pillow. The pillow was soft.",),
    "blanket": ("{He} pulled up the blanket. The blanket was warm.",),
    "cat": ("The cat was lazy and lay at the foot of the bed.",),
    "dog": ("The dog was loyal and slept in front of the door.",),
    "kitten": ("The kitten was curious and chased the shadows on the wall.",),
    "owl": ("Outside called an owl. The owl was wise and knew that it was late.",),
    "cloud": ("A cloud sailed across the moon. The cloud was fluffy.",),
    "spider": ("A spider hung over the bed. The spider was patient and kept watch.",),
    "feather": (
        "A feather slipped out of the covers. The feather was light and landed on {his} nose.",
    ),
}

# Around a hurt bird.
NURSE = {
    "pillow": ("It slept on a pillow. The pillow was soft.",),
    "blanket": ("{He} covered it with a piece of a blanket. The blanket was warm.",),
    "cat": ("The cat was lazy and did not even look at it.",),
    "dog": ("The dog was loyal and kept watch over it.",),
    "kitten": ("The kitten was curious, so {he} kept the door closed.",),
    "lamb": ("The finest wool came from a lamb. The lamb was gentle and did not mind.",),
    "feather": ("It had lost one feather. The feather was light, and {he} kept it in a book.",),
    "bread": ("{He} gave it crumbs of bread. The bread was fresh.",),
    "sun": ("At noon {he} put it by the window. The sun was bright.",),
}

ATTIC = {
    "drum": ("{Hero} tapped on a drum. The drum was loud, and moths flew up.",),
    "ladder": ("In the middle stood a ladder. The ladder was wobbly, so {he} did not use it.",),
    "ball": ("A ball rolled across the floor. The ball was round, and no one had pushed it.",),
    "vase": ("There was a vase full of dead flies. The vase was fragile, and {he} let it be.",),
    "pillow": ("{Hero} sat down on a pillow. The pillow was soft, and a cloud of dust rose up.",),
    "blanket": ("A blanket lay over a trunk. The blanket was warm, and moths lived in it.",),
    "coin": ("{Hero} found a coin between two boards. The coin was shiny under the dust.",),
    "feather": (
        "A feather lay on the floor. The feather was light and danced when {he} breathed.",
    ),
    "mouse": ("A mouse ran over a beam. The mouse was tiny, but it made {him} jump.",),
    "spider": ("A spider hung from a beam. The spider was patient and seemed to wait for {him}.",),
    "sun": ("Light fell through a crack in the roof. The sun was bright after all.",),
    "owl": ("On a beam sat an owl. The owl was wise, and it slept through the day.",),
}

# Before school.
MORNING = {
    "bread": ("There was bread for breakfast. The bread was fresh, but {he} could not eat.",),
    "honey": ("{Parent} put honey on {his} toast. The honey was sweet.",),
    "peach": ("{Parent} put a peach in {his} bag. The peach was juicy, so {he} got a napkin too.",),
    "carrot": ("{Parent} packed a carrot for {him}. The carrot was crunchy.",),
    "cheese": (
        "{Parent} packed some cheese. The cheese was smelly, so {he} took the bread alone.",
    ),
    "sun": (
        "The sun was bright, and the birds sang.",
        "Outside, the sun was bright.",
    ),
    "cat": ("The cat was lazy and stayed in bed.",),
    "dog": ("The dog was loyal and carried {his} bag to the door.",),
    "kitten": ("The kitten was curious and climbed into {his} bag.",),
    "blanket": ("{He} pushed away the blanket. The blanket was warm, but {he} got up.",),
    "pillow": ("{He} threw the pillow into the air. The pillow was soft and hit nobody.",),
    "parrot": ('The parrot was noisy. "Get up! Get up!" it called.',),
    "soup": (
        "There was soup left from the day before. The soup was delicious, even at breakfast.",
    ),
}
